package cli

// Help is the page of the help command.
const Help = `usage: ldirectord [options] [configfile] COMMAND

configfile is looked for in /etc/ha.d, then in /etc/ha.d/conf, then as a path.
Without one it is ldirectord.cf.

The daemon
  start          start it; returns when the IPVS table is programmed
  run            the same in the foreground, log on standard output
  stop           stop it, and wait until it has ended
  restart        check the configuration, then stop and start
  try-restart    restart, if it runs
  reload         check the configuration, then have the daemon take it over
  force-reload   the same
  status         is it running (exit code 0), stopped (3), or dead with its pid
                 file left (1); prints the table and why each server is where
                 it is. --json for machines

The configuration
  configtest     print every error and warning; exit code 2 with errors
    --migrate    also print each line that means something else than it did to
                 the Perl ldirectord, and what to write to have it as before
    --dump       print the effective configuration, defaults filled in
    --secrets    with passwords (root only): this form can be read back
    --json       for machines

One check
  probe VIRTUAL REAL
                 run the check of a real server now, and print verdict, code,
                 reason, times and what was said; changes nothing, needs no
                 daemon. Exit code 0 up, 1 down, 3 when that cannot be told or
                 nothing is checked, 2 when there is no such thing. Names are
                 those of status or of the file; tcp:, udp:, fwm: or fwm6:
                 before VIRTUAL tells two of one name apart
    --connect    with checktype = N: the connect check, not the negotiate one
    --line N     of several checks of one real server, that of line N
    --record FILE
                 write down what a check of external-lua exchanged, for lua test
    --secrets    with what it makes of secret options
    --json       for machines
  lua test SCRIPT...
                 run scripts of external-lua offline, on the recordings in
                 SCRIPT.d/*.rec; exit code 1 when one comes to something else
    --json       for machines

Maintenance
  maintenance on REAL [--reason TEXT]
                 take a real server out of service within a second, by a file in
                 maintenancedir: ADDRESS, ADDRESS:PORT, or a host name for either
  maintenance off REAL
                 and back: it returns when its check says up
  maintenance list
                 who is in maintenance, why, and since when
    --json       for machines

Check plugins
  plugins        list those in every directory that is searched, and what speaks
                 against one; exit code 1 when one cannot be used, or there are
                 none. plugindir and pluginuser of the configuration count
    --options    with the options that each takes
    --json       for machines, with everything
  plugins test FILE
                 try every rule of checks on a plugin, installed or not; exit
                 code 1 when it breaks one
    -v           with how long it took
    --service NAME, --option NAME=VALUE
                 what to configure; otherwise all its services, with guessed
                 values for what is required
    --server ADDRESS:PORT
                 one that deserves to be up, for IPv4, for IPv6, or both

Options, before all else
  -d, --debug    do not become a daemon, and log everything
  --dry-run      keep the table in memory, leave the kernel alone
  -h, --help     the user manual
  -v, --version  the version
`
