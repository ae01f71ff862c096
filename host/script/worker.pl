# The interpreter that runs scripts of checktype = external-perl, one call at a time. It reads a
# line for each call from descriptor 3, "id milliseconds file arguments NAME=value ...", and answers on 4
# with "id word text": exit and a code, die and a message, late, or missing and why the script
# cannot be read. Fields are percent-encoded. What a script prints goes to where it always goes; a line of a
# zero byte and the id on standard error says that all of it has been written.

# First, so that scripts see no variables and no pragmas of ours.
sub LD::Worker::evaluate { eval $_[0] }

package LD::Worker;
use strict;
use warnings;
use Fcntl;
use IO::Handle;

our ($calling, $code, $worker) = (0, undef, $$);

# exit leaves the call from wherever it is, the script's own evals and subs included. A process that
# the script forked ends as it should.
sub leave {
    my ($status) = @_;
    CORE::exit($status) if !$calling || $$ != $worker;
    no warnings;
    $code = $status + 0 if !defined $code;    # the first counts, if an eval has swallowed it
    last LD_CALL;
}

BEGIN { *CORE::GLOBAL::exit = sub (;$) { LD::Worker::leave(@_ ? $_[0] : 0) } }

my $fine = eval { require Time::HiRes; 1 };
my %scripts;    # by file: its version, its sub or what is wrong with it, its package, its data
my $packages = 0;
my @standard;    # copies of the standard files: a script may close its own

sub version {
    my ($file) = @_;
    my @s = $fine ? Time::HiRes::stat($file) : stat $file;
    return @s ? join ',', @s[0, 1, 7, 9, 10] : undef;
}

# candidates are the texts that may be what the script's author meant, the plain one first: a sub has an end
# of its own, so what comes after __END__, and a pod that goes on to the end of the file, are
# cut off if it does not compile as it is.
sub candidates {
    my ($text) = @_;
    my @all = ([$text, undef]);
    push @all, [$1, $2] if $text =~ /\A(.*?^)__(?:END|DATA)__[^\S\n]*(?:\n(.*))?\z/ms;
    push @all, [$1, undef] if $all[-1][0] =~ /\A(.*^)=[a-zA-Z]/ms && $all[-1][0] !~ /^=cut\b(?!.*^=[a-zA-Z])/ms;
    return @all;
}

sub compile {
    my ($file, $text) = @_;
    my $package = 'LD::Script' . ++$packages;
    (my $name = $file) =~ s/["\r\n]/?/g;
    my ($sub, $data, $wrong);
    for my $candidate (candidates($text)) {
        (my $body, $data) = @$candidate;
        local ($@, $_);
        $sub = evaluate("package $package; sub {\n#line 1 \"$name\"\n$body\n}");
        $wrong = $@;
        last if $sub;
    }
    return { sub => $sub, wrong => $wrong, data => $data, package => $package };
}

# script returns the compiled script, anew if the file has changed; undef if it cannot be read.
sub script {
    my ($file) = @_;
    my $version = version($file);
    return undef if !defined $version;
    my $known = $scripts{$file};
    return $known if $known && $known->{version} eq $version;
    open my $in, '<:raw', $file or return undef;
    my $text = do { local $/; <$in> };
    return undef if !defined $text && $!;
    my $new = compile($file, defined $text ? $text : '');
    $new->{version} = $version;
    return $scripts{$file} = $new;
}

sub restore {
    open STDIN, '<&', $standard[0];
    open STDOUT, '>&', $standard[1];
    open STDERR, '>&', $standard[2];
}

sub call {
    my ($ms, $file, @args) = @_;
    $! = 0;
    my $script = script($file);
    return ('missing', "$!") if !$script;
    return ('die', $script->{wrong}) if !$script->{sub};
    if (defined $script->{data}) {
        no strict 'refs';
        open *{"$script->{package}::DATA"}, '<', \$script->{data};
    }
    restore();
    my ($late, $fell, $died) = (0, 0, '');
    local ($/, $\, $,) = ("\n", undef, undef);
    local $_;
    local @ARGV = @args;
    local *0 = \$file;
    local $SIG{__DIE__} = 'DEFAULT';
    local $SIG{__WARN__} = 'DEFAULT';
    local $SIG{CHLD} = 'DEFAULT';
    local $SIG{ALRM} = sub { $late = 1; die "timeout\n" };
    ($calling, $code) = (1, undef);
  LD_CALL: {
        eval {
            $fine ? Time::HiRes::alarm($ms / 1000) : alarm(1 + int($ms / 1000));
            $script->{sub}->(@args);
            $fell = 1;
        };
        $died = $@;
    }
    $fine ? Time::HiRes::alarm(0) : alarm 0;
    $calling = 0;
    CORE::exit(defined $code ? $code : $fell ? 0 : 255) if $$ != $worker;    # forked by the script
    return ('late', '') if $late;
    return ('exit', $code) if defined $code;
    return ('exit', 0) if $fell;
    return ('die', defined $died && length $died ? "$died" : 'died');
}

sub encode {
    my ($text) = @_;
    utf8::encode($text) if utf8::is_utf8($text);
    $text = substr $text, 0, 1024;
    $text =~ s/([^!-\$&-~])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

sub serve {
    open my $requests, '<&=', 3 or die "requests: $!";
    open my $answers, '>&=', 4 or die "answers: $!";
    fcntl $_, F_SETFD, FD_CLOEXEC for $requests, $answers;
    open STDIN, '<', '/dev/null' or die "/dev/null: $!";
    open $standard[0], '<&', \*STDIN or die "standard input: $!";
    open $standard[1], '>&', \*STDOUT or die "standard output: $!";
    open $standard[2], '>&', \*STDERR or die "standard error: $!";
    my $pending = '';
    syswrite $answers, "ready\n";
    while (1) {
        while ($pending !~ /\n/) {
            my $n = sysread $requests, $pending, 65536, length $pending;
            next if !defined $n && $!{EINTR};
            return if !$n;
        }
        $pending =~ s/\A([^\n]*)\n//;
        my ($id, $ms, $count, @fields) = map { s/%([0-9A-F]{2})/chr hex $1/ger } split / /, $1, -1;
        my @args = splice @fields, 0, 1 + $count;
        for (@fields) { $ENV{$1} = $2 if /\A([^=]+)=(.*)\z/s }
        my ($word, $text) = call($ms, @args);
        restore();    # before a file that is opened takes the place of one that the script closed
        chdir '/';
        select STDOUT;
        STDOUT->flush;
        STDERR->flush;
        syswrite $standard[2], "\0$id\n";
        syswrite $answers, "$id $word " . encode($text) . "\n";
    }
}

serve();
