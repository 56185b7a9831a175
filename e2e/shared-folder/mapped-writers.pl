# Processes that write to the same pages of a file, through shared mappings and by write(2); prints what is there then.
# Usage: perl mapped-writers.pl FILE
my ($path) = @ARGV;
my ($READ, $MMAP, $MSYNC, $SIZE, $STRIPE) = (0, 9, 26, 1 << 18, 100);
my $stripes = int($SIZE / $STRIPE);
sysopen(my $file, $path, 0102) or die "$path: $!";
truncate $file, $SIZE or die "truncate: $!";
for my $who (0 .. 2) { # two by mappings, one by write(2)
    next if fork;
    sysopen(my $own, $path, 2) or die "$path: $!";
    my $address = $who < 2 ? syscall($MMAP, 0, $SIZE, 3, 1, fileno $own, 0) : 0;
    die "mmap: $!" if $address == -1;
    pipe(my $r, my $w);
    for my $i (0 .. $stripes - 1) {
        next if $i % 3 != $who;
        my $text = chr(65 + $i % 26) x $STRIPE;
        if ($who < 2) {
            syswrite $w, $text;
            syscall($READ, fileno $r, $address + $i * $STRIPE, $STRIPE) == $STRIPE or die "read: $!";
        } else {
            sysseek $own, $i * $STRIPE, 0;
            syswrite($own, $text) == $STRIPE or die "write: $!";
        }
    }
    syscall($MSYNC, $address, $SIZE, 4) == 0 or die "msync: $!" if $who < 2;
    exit 0;
}
for (0 .. 2) { wait; print "failed: $?\n" if $? }
my $expected = join('', map { chr(65 + $_ % 26) x $STRIPE } 0 .. $stripes - 1);
$expected .= "\0" x ($SIZE - length $expected);
sysseek $file, 0, 0;
sysread $file, my $text, $SIZE;
print $text eq $expected ? "all stripes are there\n" : "stripes are lost\n";
