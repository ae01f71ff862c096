package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login   string        `option:"login" default:"anonymous" help:"name to log in with"`
	Passwd  string        `option:"passwd" secret:"true" help:"password of login; unset: ldirectord@ and the director's host name"`
	Request string        `option:"request" help:"file to fetch, from the server's root directory; unset: the login decides"`
	Receive match.Receive `option:"receive" type:"pattern" help:"Perl pattern to find in the file; unset: that it came is enough"`
	MaxBody int           `option:"max-body" default:"1048576" help:"bytes of the file to look at"`
}

// largestBody bounds max-body: so much memory may one probe take.
const largestBody = 64 << 20

func validate(_ string, o options) error {
	var errs []error
	wrong := func(option, format string, args ...any) {
		errs = append(errs, &sdk.OptionError{Option: option, Want: fmt.Sprintf(format, args...)})
	}
	for option, value := range map[string]string{"login": o.Login, "passwd": o.Passwd, "request": o.Request} {
		if strings.ContainsAny(value, "\r\n\x00") {
			wrong(option, "has a line end or a zero byte in it")
		}
	}
	if o.MaxBody < 1 || o.MaxBody > largestBody {
		wrong("max-body", "%d is not between 1 and %d", o.MaxBody, largestBody)
	}
	return errors.Join(errs...)
}

// filled puts in what ldirectord(8) says of a passwd that is not set, and makes request a whole path.
func (o options) filled() options {
	if o.Passwd == "" {
		o.Passwd = "ldirectord@" + hostName()
	}
	if o.Request != "" && !strings.HasPrefix(o.Request, "/") {
		o.Request = "/" + o.Request
	}
	return o
}

// hostName is the director's, as ldirectord(8) has it ("passwd").
func hostName() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}
