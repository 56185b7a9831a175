# Random reads, writes, mappings, truncations and holes on one file, all compared with a copy in memory. What is printed
# follows from the seed.
# Usage: perl exercise.pl FILE SEED STEPS [OPERATION-TO-LEAVE-OUT...]
my ($path, $seed, $steps, @left_out) = @ARGV;
my ($READ, $LSEEK, $MMAP, $MUNMAP, $MSYNC, $FALLOCATE, $COPY) = (0, 8, 9, 11, 26, 285, 326);
my ($PAGE, $MAX) = (4096, 200_000);
my ($model, @files, $step, $name) = ('');

sub pick { # a number below $_[0]
    $seed = ($seed * 1103515245 + 12345) % 2147483648;
    return int($seed / 65536) % $_[0];
}
sub fail { die "step $step, $name: $_[0]\n" }
sub handle { return $files[pick(2)] }
sub open_both {
    @files = map { sysopen(my $f, $path, 0102) or fail("open: $!"); $f } 1, 2;
}
sub place { # offset and length, within what a file may have
    my $offset = pick($MAX);
    my $length = 1 + pick((10, 5000, 60_000)[pick(3)]);
    return ($offset, $offset + $length > $MAX ? $MAX - $offset : $length);
}
sub inside { # the same within the file, which is not empty
    my $offset = pick(length $model);
    my $length = 1 + pick(30_000);
    my $rest = length($model) - $offset;
    return ($offset, $length > $rest ? $rest : $length);
}
sub expect { # what the file now has in a range, by the model
    my ($offset, $bytes) = @_;
    $model .= "\0" x ($offset - length $model) if $offset > length $model;
    substr($model, $offset, length $bytes) = $bytes;
}
sub bytes { return chr(33 + pick(90)) x $_[0] }
sub mapped { # runs a block with the address of a range of the file
    my ($offset, $length, $block) = @_;
    my $start = $offset - $offset % $PAGE;
    my $size = $offset + $length - $start;
    my $address = syscall($MMAP, 0, $size, 3, 1, fileno handle(), $start);
    fail("mmap: $!") if $address == -1;
    $block->($address + $offset - $start);
    syscall($MUNMAP, $address, $size) == 0 or fail("munmap: $!");
}
sub at { return unpack("P$_[1]", pack('J', $_[0])) } # memory
sub fallocate {
    my ($mode, $offset, $length) = @_;
    syscall($FALLOCATE, fileno handle(), $mode, $offset, $length) == 0 or fail("fallocate $mode: $!");
}

my %operations = (
    write => sub {
        my ($offset, $length) = place();
        my ($file, $bytes) = (handle(), bytes($length));
        sysseek $file, $offset, 0;
        syswrite($file, $bytes) == $length or fail("write: $!");
        expect($offset, $bytes);
    },
    read => sub {
        my ($offset, $length) = place();
        my $file = handle();
        sysseek $file, $offset, 0;
        defined sysread($file, my $bytes, $length) or fail("read: $!");
        my $known = $offset < length $model ? substr($model, $offset, $length) : '';
        $bytes eq $known or fail("other bytes from $offset on");
    },
    map_read => sub {
        return if $model eq '';
        my ($offset, $length) = inside();
        mapped($offset, $length, sub { at($_[0], $length) eq substr($model, $offset, $length) or fail("other bytes at $offset") });
    },
    map_write => sub {
        return if $model eq '';
        my ($offset, $length) = inside();
        my $bytes = bytes($length);
        pipe(my $r, my $w);
        mapped($offset, $length, sub {
            for (my $done = 0; $done < $length; $done += 4096) {
                my $n = $length - $done < 4096 ? $length - $done : 4096;
                syswrite $w, substr($bytes, $done, $n);
                syscall($READ, fileno $r, $_[0] + $done, $n) == $n or fail("read to a mapping: $!");
            }
        });
        expect($offset, $bytes);
    },
    truncate => sub {
        my $size = pick($MAX);
        truncate handle(), $size or fail("truncate: $!");
        $model = $size < length $model ? substr($model, 0, $size) : $model . "\0" x ($size - length $model);
    },
    punch => sub {
        return if $model eq '';
        my ($offset, $length) = inside();
        fallocate(3, $offset, $length);
        expect($offset, "\0" x $length);
    },
    zero => sub {
        my ($offset, $length) = place();
        fallocate(0x10, $offset, $length);
        expect($offset, "\0" x $length);
    },
    allocate => sub {
        my ($offset, $length) = place();
        fallocate(0, $offset, $length);
        $model .= "\0" x ($offset + $length - length $model) if $offset + $length > length $model;
    },
    copy => sub {
        return if $model eq '';
        my ($from, $length) = inside();
        my $to = pick($MAX - $length);
        return if $to < $from + $length && $from < $to + $length;
        my ($in, $out) = (pack('q', $from), pack('q', $to));
        my $n = syscall($COPY, fileno $files[0], $in, fileno $files[1], $out, $length, 0);
        $n > 0 or fail("copy_file_range: $!");
        expect($to, substr($model, $from, $n));
    },
    seek_hole => sub { # where data ends there are zeroes
        return if $model eq '';
        my $offset = pick(length $model);
        my $data = syscall($LSEEK, fileno handle(), $offset, 3);
        $data = length $model if $data == -1 && $! == 6;
        $data >= $offset or fail("SEEK_DATA: $data $!");
        substr($model, $offset, $data - $offset) =~ /[^\0]/ and fail("data in the hole at $offset");
    },
    reopen => sub { close $_ or fail("close: $!") for @files; open_both() },
);
delete $operations{$_} for @left_out;
my @names = sort keys %operations;

open_both();
my %done;
for (1 .. $steps) {
    $step = $_;
    $name = $names[pick(scalar @names)];
    $operations{$name}->();
    $done{$name}++;
    my $size = -s handle();
    $size == length $model or fail("the size is $size instead of " . length $model);
}
$name = 'the end';
sysseek $files[0], 0, 0;
sysread $files[0], my $bytes, $MAX + 1;
$bytes eq $model or fail('other bytes');
print "$_ $done{$_}\n" for @names;
print length $model, ' ', unpack('%32C*', $model), "\n";
