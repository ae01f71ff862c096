package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// invocation is a command line, taken apart.
type invocation struct {
	debug   bool
	help    bool
	version bool
	dryRun  bool
	file    string   // "" when none is named
	command string   // "" with help or version
	args    []string // what follows the command
}

// oldCommands are those of ldirectord(8).
var oldCommands = []string{"start", "stop", "restart", "try-restart", "reload", "force-reload", "status"}

// newCommands keep the shape of the old ones: ldirectord [options] [configfile] COMMAND.
var newCommands = []string{"run", "configtest", "probe", "maintenance", "plugins", "lua", "help"}

var errUsage = errors.New("usage: ldirectord [-d|--debug] [--dry-run] [--] [configfile] COMMAND (`ldirectord help` lists the commands)")

// parse takes a command line apart, without the program's name. Options come first.
func parse(words []string) (invocation, error) {
	var in invocation
	var question bool
	flags := pflag.NewFlagSet("ldirectord", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.Usage = func() {}
	flags.SortFlags = false
	flags.BoolVarP(&in.debug, "debug", "d", false, "")
	flags.BoolVarP(&in.help, "help", "h", false, "")
	flags.BoolVarP(&question, "question", "?", false, "")
	flags.BoolVarP(&in.version, "version", "v", false, "")
	flags.BoolVar(&in.dryRun, "dry-run", false, "")
	if err := flags.Parse(words); err != nil {
		return in, fmt.Errorf("%w\n%w", err, errUsage)
	}
	in.help = in.help || question
	if in.help || in.version {
		return in, nil
	}
	return in, in.take(flags.Args())
}

// take finds the file and the command. Two words that end in an old command are file and
// command, as ever; otherwise a first word that is a command means that no file is given.
func (in *invocation) take(words []string) error {
	known := func(w string) bool {
		return slices.Contains(oldCommands, w) || slices.Contains(newCommands, w)
	}
	switch {
	case len(words) == 2 && slices.Contains(oldCommands, words[1]):
		in.file, in.command = words[0], words[1]
	case len(words) >= 1 && known(words[0]):
		in.command, in.args = words[0], words[1:]
	case len(words) >= 2 && known(words[1]):
		in.file, in.command, in.args = words[0], words[1], words[2:]
	case len(words) >= 2:
		return fmt.Errorf("unknown command %q\n%w", words[1], errUsage)
	default:
		return errUsage
	}
	if slices.Contains(oldCommands, in.command) && in.command != "status" && len(in.args) > 0 {
		return fmt.Errorf("%s takes no arguments, found %q\n%w", in.command, in.args[0], errUsage)
	}
	return nil
}
