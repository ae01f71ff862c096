package main

import (
	"errors"
	"fmt"

	"github.com/ldirectord/ldirectord/sdk"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login  string `option:"login" help:"user to authenticate (User-Name)"`
	Passwd string `option:"passwd" secret:"true" help:"password of login (User-Password)"`
	Secret string `option:"secret" secret:"true" help:"what the server and the director share; unset: the empty text, which few servers allow"`
	Signed bool   `option:"require-message-authenticator" default:"no" help:"ignore answers without a Message-Authenticator; a wrong one never counts"`
}

const (
	maxLogin  = 253 // of an attribute's value (RFC 2865, 5)
	maxPasswd = 128 // RFC 2865, 5.2
)

func validate(_ string, o options) error {
	var errs []error
	atMost := func(option, value string, most int) {
		if len(value) > most {
			errs = append(errs, &sdk.OptionError{Option: option, Want: fmt.Sprintf("has %d bytes, RADIUS allows %d", len(value), most)})
		}
	}
	atMost("login", o.Login, maxLogin)
	atMost("passwd", o.Passwd, maxPasswd)
	return errors.Join(errs...)
}
