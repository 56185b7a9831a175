# A sequence of operations on files that follows from a seed; prints what came of each, and then the tree that is there.
# Usage: perl operations.pl FOLDER SEED STEPS MAY_CHOWN [OPERATION-TO-LEAVE-OUT...]
# There are no modules where this runs, so constants are numbers (of Linux on x86-64).
my ($folder, $seed, $steps, $may_chown, @left_out) = @ARGV;
$| = 1;
umask 022;
chdir $folder or die "$folder: $!";

my ($AT, $EXCHANGE, $NOREPLACE) = (-100, 2, 1);
my ($RENAMEAT2, $SETXATTR, $GETXATTR, $REMOVEXATTR, $FALLOCATE, $COPY, $LSEEK) = (316, 188, 191, 197, 285, 326, 8);
my ($O_RDWR, $O_CREAT, $O_EXCL, $O_TRUNC, $O_APPEND, $O_NONBLOCK, $O_TMPFILE) =
    (2, 0100, 0200, 01000, 02000, 04000, 020200000);
my @names = ('a', 'b', 'c', 'd e', "\xc3\xbc", 'f' x 200);

sub pick { # a number below $_[0]
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    return int($seed / 65536) % $_[0];
}
sub path { return join '/', map { $names[pick(scalar @names)] } 0 .. pick(3) }
# A jailed device takes set-user-id away from what is written to, whoever writes (docs/shared-folders.md).
sub mode { return (0600, 0644, 0755, 0711, 0400, 01777)[pick(6)] }
sub said { my $ok = shift; return $ok ? "ok" : "errno " . ($! + 0) }
sub sum { return length($_[0]) . ':' . unpack('%32C*', $_[0]) }
sub opened { # runs a block with an open file
    my ($path, $flags, $block) = @_;
    sysopen(my $file, $path, $flags | $O_NONBLOCK, 0644) or return said(0);
    return "no file" if !-f $file;
    my $result = $block->($file);
    close $file or return said(0);
    return $result;
}

my @operations = (
    mkdir => sub { said(mkdir path(), mode()) },
    mkdir => sub { my $path = path(); said(mkdir($path, mode()) && chmod(02775, $path)) },
    rmdir => sub { said(rmdir path()) },
    create => sub { opened(path(), $O_RDWR | $O_CREAT | (0, $O_EXCL, $O_TRUNC)[pick(3)], sub { 'ok' }) },
    write => sub {
        my ($where, $text) = (pick(100000), chr(65 + pick(26)) x pick(30000));
        opened(path(), $O_RDWR | $O_CREAT, sub {
            sysseek($_[0], $where, 0);
            my $n = syswrite $_[0], $text;
            defined $n ? "wrote $n" : said(0);
        });
    },
    append => sub {
        my $text = 'x' x pick(5000);
        opened(path(), $O_RDWR | $O_APPEND, sub { defined(my $n = syswrite $_[0], $text) ? "wrote" : said(0) });
    },
    read => sub {
        my ($where, $length) = (pick(100000), pick(50000));
        opened(path(), 0, sub {
            sysseek($_[0], $where, 0);
            defined sysread($_[0], my $text, $length) ? sum($text) : said(0);
        });
    },
    truncate => sub { my ($path, $size) = (path(), pick(120000)); -f $path ? said(truncate $path, $size) : '' },
    unlink => sub { said(unlink path()) },
    deleted => sub { # is used when it has no name any more
        my $path = path();
        opened($path, $O_RDWR | $O_CREAT | $O_EXCL, sub {
            unlink $path;
            syswrite $_[0], 'still there';
            sysseek $_[0], 0, 0;
            sysread $_[0], my $text, 100;
            my @stat = stat $_[0];
            "$text $stat[3] $stat[7]";
        });
    },
    unnamed => sub { opened(path(), $O_RDWR | $O_TMPFILE, sub { syswrite $_[0], 'x'; my @s = stat $_[0]; "$s[3] $s[7]" }) },
    rename => sub { said(rename path(), path()) },
    rename => sub { said(rename path(), path()) },
    rename2 => sub {
        my ($from, $to) = (path(), path());
        said(syscall($RENAMEAT2, $AT, $from, $AT, $to, ($EXCHANGE, $NOREPLACE)[pick(2)]) == 0);
    },
    link => sub { said(link path(), path()) },
    symlink => sub { said(symlink path(), path()) },
    readlink => sub { my $target = readlink path(); defined $target ? $target : said(0) },
    mkfifo => sub { my $path = path(); said(syscall(133, $path, 010644, 0) == 0) },
    chmod => sub { said(chmod mode(), path()) },
    chown => sub { my ($u, $g, $p) = (pick(5), pick(5), path()); $may_chown ? said(chown $u, $g, $p) : '' },
    utime => sub { said(utime pick(1e9), pick(1e9), path()) },
    lstat => sub { my @s = lstat path(); @s ? sprintf('%o %d', @s[2, 3]) : said(0) },
    setxattr => sub {
        my ($path, $name, $value) = (path(), "user." . $names[pick(2)], 'v' x pick(500));
        said(syscall($SETXATTR, $path, $name, $value, length $value, pick(3)) == 0);
    },
    getxattr => sub {
        my ($path, $name, $value) = (path(), "user." . $names[pick(2)], "\0" x 600);
        my $n = syscall($GETXATTR, $path, $name, $value, (0, 100, 600)[pick(3)]);
        $n < 0 ? said(0) : "$n";
    },
    removexattr => sub { my ($path, $name) = (path(), "user." . $names[pick(2)]); said(syscall($REMOVEXATTR, $path, $name) == 0) },
    fallocate => sub {
        my ($mode, $offset, $length) = ((0, 1, 3, 0x10)[pick(4)], pick(50000), 1 + pick(50000));
        opened(path(), $O_RDWR, sub { said(syscall($FALLOCATE, fileno $_[0], $mode, $offset, $length) == 0) });
    },
    copy => sub {
        my ($from, $to, $length) = (path(), path(), pick(50000));
        opened($from, 0, sub {
            my $source = shift;
            opened($to, $O_RDWR, sub {
                my $n = syscall($COPY, fileno $source, 0, fileno $_[0], 0, $length, 0);
                $n < 0 ? said(0) : "copied $n";
            });
        });
    },
    list => sub {
        opendir(my $handle, path()) or return said(0);
        my @found = sort readdir $handle;
        join ',', @found;
    },
);

for (my $at = $#operations - 1; $at >= 0; $at -= 2) {
    my $name = $operations[$at];
    splice @operations, $at, 2 if grep { $_ eq $name } @left_out;
}
for my $i (1 .. $steps) {
    my $at = 2 * pick(@operations / 2);
    $! = 0;
    print "$i $operations[$at] ", $operations[$at + 1]->(), "\n";
}

sub show {
    my ($path) = @_;
    my @s = lstat $path;
    my $type = $s[2] & 0170000;
    printf "%s %o %d %d:%d", $path, $s[2], $s[3], @s[4, 5];
    if ($type == 0100000) {
        open my $file, '<', $path;
        local $/;
        my $text = <$file>;
        print ' ', sum(defined $text ? $text : '');
    }
    print ' ', readlink $path if $type == 0120000;
    print "\n";
    return if $type != 0040000;
    opendir my $handle, $path;
    show("$path/$_") for grep { !/^\.\.?$/ } sort readdir $handle;
}
show('.');
