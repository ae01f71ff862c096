package script

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"syscall"
)

// account is who a script runs as. The zero value is the daemon's own user.
type account struct {
	name, home string
	credential *syscall.Credential // nil: the daemon's
}

// accountOf looks up externaluser; "" is the daemon's own.
func accountOf(name string) (account, error) {
	if name == "" {
		me := account{name: "root", home: "/root"}
		if u, err := user.Current(); err == nil {
			me.name, me.home = u.Username, u.HomeDir
		}
		return me, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("groups of externaluser %s: %w", name, err)
	}
	var errs []error
	number := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		errs = append(errs, err)
		return uint32(n)
	}
	c := &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, id := range ids {
		c.Groups = append(c.Groups, number(id))
	}
	if err := errors.Join(errs...); err != nil {
		return account{}, fmt.Errorf("externaluser %s: %w", name, err)
	}
	return account{name: u.Username, home: u.HomeDir, credential: c}, nil
}

// UserExists says whether externaluser names somebody; the error says why not.
func UserExists(name string) error {
	_, err := accountOf(name)
	return err
}

// environment is what a program of this user starts with, the facts of a check apart: nothing
// of the daemon's own.
func (a account) environment() []string {
	return []string{
		"PATH=" + searchPath, "HOME=" + a.home, "USER=" + a.name, "LOGNAME=" + a.name, "SHELL=/bin/sh", "LANG=C",
	}
}
