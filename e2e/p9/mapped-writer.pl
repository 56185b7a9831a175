# Writes to a file through a shared mapping: read(2) from a pipe goes to its pages.
# Usage: perl mapped-writer.pl FILE
my ($path) = @ARGV;
my ($MMAP, $MUNMAP, $READ, $MSYNC, $SIZE) = (9, 11, 0, 26, 65536);
sysopen(my $file, $path, 0102) or die "$path: $!";
truncate $file, $SIZE or die "truncate: $!";
my $address = syscall($MMAP, 0, $SIZE, 3, 1, fileno $file, 0);
die "mmap: $!" if $address == -1;
pipe(my $r, my $w);
for my $page (0 .. 15) {
    syswrite $w, chr(65 + $page) x 4000;
    syscall($READ, fileno $r, $address + 4096 * $page, 4000) == 4000 or die "read: $!";
}
syscall($MSYNC, $address, $SIZE, 4) == 0 or die "msync: $!";
syscall($MUNMAP, $address, $SIZE) == 0 or die;
close $file or die;
