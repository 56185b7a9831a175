# Processes that make, rename, link and remove the same few names at the same time. Whatever wins, errors are those that a
# file system has for it, and no file has bytes of two.
# Usage: perl races.pl FOLDER SEED PROCESSES STEPS
my ($folder, $seed, $processes, $steps) = @ARGV;
my ($AT, $RENAMEAT2, $EXCHANGE, $NOREPLACE) = (-100, 316, 2, 1);
# EPERM (a link to a folder), ENOENT, EEXIST, ENOTDIR, EISDIR, EINVAL (a folder into itself), ENOTEMPTY, ELOOP
my %usual = map { $_ => 1 } 1, 2, 17, 20, 21, 22, 39, 40;
my @names = ('a', 'b', 'c', 'd', 'a/a', 'a/b', 'b/a', 'b/b', 'a/a/a', 'c/d');
chdir $folder or die "$folder: $!";

sub pick {
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    return int($seed / 65536) % $_[0];
}
sub name { return $names[pick(scalar @names)] }
my ($step, $what);
sub fail { die "process $$, step $step, $what: $_[0]\n" }
sub check { $_[0] or $usual{$! + 0} or fail("$!") }

my %operations = (
    create => sub {
        my $text = chr(97 + pick(26)) x 5000;
        sysopen(my $f, name(), 01 | 0100 | 0200 | 04000, 0644) or return check(0);
        syswrite($f, $text) == 5000 or fail("write: $!");
        close $f or fail("close: $!");
    },
    read => sub {
        my $name = name();
        sysopen(my $f, $name, 04000) or return check(0);
        return if !-f $f;
        sysread $f, my $text, 6000;
        $text =~ /^(.?)\1*$/s or fail("$name has bytes of two");
    },
    deleted => sub { # is there as long as it is open
        my $name = name();
        sysopen(my $f, $name, 2 | 04000) or return check(0);
        return if !-f $f;
        check(unlink $name);
        sysseek $f, 0, 0;
        defined sysread($f, my $text, 6000) or fail("read: $!");
    },
    mkdir => sub { check(mkdir name()) },
    rmdir => sub { check(rmdir name()) },
    unlink => sub { check(unlink name()) },
    rename => sub { check(rename name(), name()) },
    exchange => sub {
        my ($from, $to) = (name(), name());
        check(syscall($RENAMEAT2, $AT, $from, $AT, $to, ($EXCHANGE, $NOREPLACE)[pick(2)]) == 0);
    },
    link => sub { check(link name(), name()) },
    symlink => sub { check(symlink name(), name()) },
    chmod => sub { my $name = name(); -l $name or check(chmod 0700 + pick(64), $name) },
    list => sub {
        opendir(my $d, name()) or return check(0);
        my %seen;
        $seen{$_}++ and fail("$_ is listed twice") for readdir $d;
    },
    stat => sub { my @s = lstat name(); @s or check(0) },
);
# Otherwise all names become folders that are not empty.
my @kinds = (sort(keys %operations), ('create') x 4, ('rmdir') x 4, ('unlink') x 2);

for my $process (1 .. $processes) {
    next if fork;
    $seed = $seed * 1000 + $process;
    for (1 .. $steps) {
        $step = $_;
        $what = $kinds[pick(scalar @kinds)];
        $operations{$what}->();
    }
    exit 0;
}
for (1 .. $processes) { wait; print "failed: $?\n" if $? }
print "raced\n";
