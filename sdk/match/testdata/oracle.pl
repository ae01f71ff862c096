#!/usr/bin/perl
# Answers the corpora anew: reads lines of a verdict, a pattern and an answer from
# the file given, writes them with perl's own verdict. -x: both fields are
# hexadecimal. -s: lines are patterns of one byte; writes which bytes match, as a
# bitmap in hexadecimal, lowest byte first.
use strict;
no warnings;

my $mode = $ARGV[0] =~ /^-/ ? shift : '';
while (my $line = <>) {
    chomp $line;
    if ($line =~ /^#/) { print "$line\n"; next }
    if ($mode eq '-s') {
        my ($pattern) = split /\t/, $line;
        my $bits = pack 'b256', join '', map { chr($_) =~ /$pattern/ ? 1 : 0 } 0 .. 255;
        print "$pattern\t", unpack('H*', $bits), "\n";
        next;
    }
    my ($old, $shown, $text) = split /\t/, $line, 3;
    my ($pattern, $answer) = ($shown, $text);
    if ($mode eq '-x') { $_ = pack 'H*', $_ for $pattern, $answer }
    else {
        my %plain = (n => "\n", r => "\r", t => "\t");
        $answer =~ s/\\(?:([nrt])|x([0-9a-fA-F]{2}))/$1 ? $plain{$1} : chr hex $2/ge;
    }
    my $found = eval {
        local $SIG{ALRM} = sub { die "ran away\n" };
        alarm 3;
        my $f = $answer =~ /$pattern/ ? 1 : 0;
        alarm 0;
        $f;
    };
    alarm 0;
    print $found // 'E', "\t$shown\t$text\n";
}
