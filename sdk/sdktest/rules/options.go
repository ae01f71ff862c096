package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// typeNames are those of sdk.Option.
var typeNames = []string{"string", "int", "bool", "duration", "list", "pattern"}

func describes(ctx context.Context, c sdk.Checker, _ Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	lack := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !isWord(info.Name) {
		lack("name %q is not a lower-case word", info.Name)
	}
	if info.Summary == "" || strings.ContainsAny(info.Summary, "\r\n") {
		lack("no summary of one line")
	}
	if len(info.Services) == 0 {
		lack("no services")
	}
	names := map[string]bool{}
	for _, s := range info.Services {
		if !isWord(s.Name) || s.Network != "tcp" && s.Network != "udp" || names[s.Name] {
			lack("service %q over %q, and each but once", s.Name, s.Network)
		}
		names[s.Name] = true
	}
	clear(names)
	for _, o := range info.Options {
		if why := undescribed(o); why != "" {
			lack("option %s %s", o.Name, why)
		}
		if names[o.Name] {
			lack("option %s is there twice", o.Name)
		}
		names[o.Name] = true
	}
	return errors.Join(errs...)
}

// undescribed says what an operator cannot learn of an option.
func undescribed(o sdk.Option) string {
	switch {
	case !isWord(o.Name):
		return "has a name that is not a lower-case word"
	case o.Help == "" || strings.ContainsAny(o.Help, "\r\n"):
		return "has no help of one line"
	case !slices.Contains(typeNames, o.Type):
		return fmt.Sprintf("has type %q, which is none of %s", o.Type, strings.Join(typeNames, ", "))
	case o.Secret && o.Default != "":
		return "is secret and has a default for all to see"
	case o.Required && o.Default != "":
		return "is required and has a default"
	}
	return ""
}

func isWord(s string) bool {
	return s != "" && s == strings.ToLower(s) && !strings.ContainsAny(s, " \t\r\n/=")
}

// refused says how an error about one option falls short.
func refused(err error, option string) error {
	var oe *sdk.OptionError
	switch {
	case err == nil:
		return fmt.Errorf("option %s was accepted", option)
	case !errors.As(err, &oe) || oe.Option != option:
		return fmt.Errorf("the error does not name the option %s: %w", option, err)
	}
	return nil
}

func refusesUnknown(ctx context.Context, c sdk.Checker, s Sample) error {
	const name = "no-such-option"
	return refused(c.Validate(ctx, s.Service.Name, s.having(name, "x")), name)
}

// having is the sample's options and one more.
func (s Sample) having(name, value string) sdk.Options {
	o := sdk.Options{}
	maps.Copy(o, s.Options)
	o[name] = value
	return o
}

func refusesMissing(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range info.Options {
		if !o.Required {
			continue
		}
		without := s.having(o.Name, "")
		delete(without, o.Name)
		if err := refused(c.Validate(ctx, s.Service.Name, without), o.Name); err != nil {
			errs = append(errs, fmt.Errorf("%s is required and missing: %w", o.Name, err))
		}
	}
	return errors.Join(errs...)
}

func refusesMalformed(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range info.Options {
		if o.Type != "int" && o.Type != "bool" && o.Type != "duration" {
			continue
		}
		const value = "!?"
		if err := refused(c.Validate(ctx, s.Service.Name, s.having(o.Name, value)), o.Name); err != nil {
			errs = append(errs, fmt.Errorf("%q for a %s: %w", value, o.Type, err))
		}
	}
	return errors.Join(errs...)
}

func refusesService(ctx context.Context, c sdk.Checker, s Sample) error {
	if c.Validate(ctx, "no-such-service", s.Options) == nil {
		return errors.New("service no-such-service was accepted")
	}
	return nil
}

// validateLimit is what one validation may take.
const validateLimit = 2 * time.Second

// validatesOffline writes the address of a listener into each option that could hold one, and
// looks whether anybody calls: twice, at another port, before it blames the check. A client of whoever had the
// port before may call once.
func validatesOffline(ctx context.Context, c sdk.Checker, s Sample) error {
	err := validatesUncalled(ctx, c, s)
	if err != nil {
		err = validatesUncalled(ctx, c, s)
	}
	return err
}

// answerTheBell tells who calls, one after the other, and hangs up.
func answerTheBell(bell net.Listener, callers chan<- string) {
	for {
		c, err := bell.Accept()
		if err != nil {
			return
		}
		select {
		case callers <- c.RemoteAddr().String():
		default: // so many are enough
		}
		c.Close()
	}
}

// lastCaller calls itself. Whoever came before it did so while something was validated.
func lastCaller(ctx context.Context, addr string, callers <-chan string, what string) error {
	own, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer own.Close()
	select {
	case from := <-callers:
		if from != own.LocalAddr().String() {
			return fmt.Errorf("validating %s opened a connection", what)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func validatesUncalled(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	bell, err := net.Listen("tcp", netip.AddrPortFrom(Localhost(), 0).String())
	if err != nil {
		return fmt.Errorf("loopback server: %w", err)
	}
	defer bell.Close()
	callers := make(chan string, 1024)
	go answerTheBell(bell, callers) // ends with it
	addr := bell.Addr()
	values := []string{addr.String(), "http://" + addr.String() + "/"}
	try := func(o sdk.Options, what string) error {
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, validateLimit)
		defer cancel()
		_ = c.Validate(limited, s.Service.Name, o) // whether it likes the value is not the question
		if took := time.Since(began); took >= validateLimit {
			return fmt.Errorf("validating %s took %v: there is nothing to wait for", what, took.Round(time.Millisecond))
		}
		return lastCaller(ctx, addr.String(), callers, what)
	}
	if err := try(s.Options, "the options"); err != nil {
		return err
	}
	for _, o := range info.Options {
		for _, v := range values {
			if o.Type != "string" && o.Type != "list" {
				break
			}
			if err := try(s.having(o.Name, v), "option "+o.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
