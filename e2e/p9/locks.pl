# A lock that one process takes by one mount is seen by another process, by another mount, which is another client.
# Usage: perl locks.pl FILE THE-SAME-FILE
my @paths = @ARGV;
$| = 1;
my $lock = sub {
    my ($file, $command, $type, $start, $length) = @_;
    return fcntl($file, $command, pack('s s x4 q q l x4', $type, 0, $start, $length, 0));
};
my ($SETLK, $SETLKW, $READ, $WRITE, $UNLOCK) = (6, 7, 0, 1, 2);
sysopen(my $mine, $paths[0], 0102) or die;
pipe(my $r, my $w);
if (!fork) {
    sysopen(my $other, $paths[1], 0102) or die;
    $lock->($other, $SETLK, $WRITE, 10, 10) or die;
    syswrite $w, 'x';
    sleep 1;
    print "first\n";
    exit;
}
sysread $r, my $x, 1;
print $lock->($mine, $SETLK, $READ, 0, 10) ? "before it\n" : "no: $!\n";
print $lock->($mine, $SETLK, $READ, 19, 1) ? "got it\n" : "refused\n";
$lock->($mine, $SETLKW, $WRITE, 0, 0) or die "$!";
print "second\n";
$lock->($mine, $SETLK, $UNLOCK, 0, 0) or die;
wait;
