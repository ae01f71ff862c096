package main

import (
	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/script"
)

// scriptProblems looks at what checks by scripts need of this machine. A user that does not exist is an
// error: nothing would ever be checked. A program that cannot be started now may be there later, and
// files in the field name such ones: that is a warning, and Unknown when it is to be run.
func scriptProblems(cfg *config.Config) (errs, warnings []config.Problem) {
	users := false
	for i := range cfg.Services {
		s := &cfg.Services[i]
		perl := s.CheckType == config.ExternalPerl
		if !perl && s.CheckType != config.External {
			continue
		}
		users = true
		command, err := script.Parse(s.CheckCommand)
		if err == nil {
			err = command.Startable(perl)
		}
		if err != nil {
			at, ok := s.Origins["checkcommand"]
			if !ok {
				at = s.Pos
			}
			warnings = append(warnings, config.Problem{Pos: at, Directive: "checkcommand", Want: "cannot be run: " + err.Error()})
		}
	}
	if name := cfg.Global.ExternalUser; name != "" && users {
		if err := script.UserExists(name); err != nil {
			errs = append(errs, config.Problem{Pos: cfg.Global.Origins["externaluser"], Directive: "externaluser", Want: err.Error()})
		}
	}
	return errs, warnings
}
