package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
)

// Check is what an author fills in: a probe over a struct of options O, whose tags say
// how the options are called in the configuration (see Decode). The zero value of
// everything but Name and Probe is usable.
type Check[O any] struct {
	// Name of the check, in lower case: its binary is ldirectord-check-NAME.
	Name string
	// Summary is one line for whoever lists the installed checks.
	Summary string
	// Version of the binary; free text.
	Version string
	// Services that the check can be configured under; empty: one, Name with Port
	// over tcp.
	Services []Service
	// Port is that of services that name none; 0: the configuration has to.
	Port uint16
	// NoIPv6 says that the check cannot look at IPv6 addresses.
	NoIPv6 bool
	// Probe runs the check once: it ends when ctx does. It may be called many times
	// at once. A panic in it is an Unknown verdict.
	Probe func(ctx context.Context, t Target, o O) Verdict
	// Validate, if not nil, says what decoding cannot: options that exclude one
	// another, say. It gives back *OptionError values, joined when there are several.
	// It must not touch the network: configuration files are validated anywhere.
	Validate func(service string, o O) error
}

// Preparer is implemented by a Checker that can do the work of options once instead of
// at each probe. Whoever registers a check uses it when it is there.
type Preparer interface {
	// Prepare validates like Checker.Validate and gives back the probe of service with
	// these options. The probe may be called concurrently and never panics.
	Prepare(service string, o Options) (func(ctx context.Context, t Target) Verdict, error)
}

// Checker hides the type of the options. It also implements Preparer. When the check
// itself is faulty (no name, no probe, a default that does not decode), every method of
// the Checker says so.
func (c Check[O]) Checker() Checker {
	s, err := newSchema(reflect.TypeFor[O]())
	switch {
	case c.Name == "":
		err = errors.Join(errors.New("sdk.Check has no Name"), err)
	case c.Probe == nil:
		err = errors.Join(fmt.Errorf("check %s has no Probe", c.Name), err)
	}
	if err != nil {
		err = fmt.Errorf("faulty check: %w", err)
	}
	return &typed[O]{check: c, services: c.services(), schema: s, faulty: err}
}

// services are those of the check with every field filled.
func (c Check[O]) services() []Service {
	all := append([]Service(nil), c.Services...)
	if len(all) == 0 {
		all = []Service{{Name: c.Name}}
	}
	for i := range all {
		if all[i].Port == 0 {
			all[i].Port = c.Port
		}
		if all[i].Network == "" {
			all[i].Network = "tcp"
		}
	}
	return all
}

// typed is the Checker of a Check.
type typed[O any] struct {
	check    Check[O]
	services []Service
	schema   schema
	faulty   error
}

func (c *typed[O]) Describe(context.Context) (Info, error) {
	if c.faulty != nil {
		return Info{}, c.faulty
	}
	return Info{
		Name:     c.check.Name,
		Version:  c.check.Version,
		Summary:  c.check.Summary,
		Services: append([]Service(nil), c.services...),
		Options:  c.schema.options(),
		IPv6:     !c.check.NoIPv6,
	}, nil
}

func (c *typed[O]) Validate(_ context.Context, service string, o Options) error {
	_, err := c.decode(service, o)
	return err
}

func (c *typed[O]) Probe(ctx context.Context, t Target, o Options) Verdict {
	probe, err := c.Prepare(t.Service, o)
	if err != nil {
		return Unknown("options: %v", err)
	}
	return probe(ctx, t)
}

func (c *typed[O]) Prepare(service string, o Options) (func(context.Context, Target) Verdict, error) {
	opts, err := c.decode(service, o)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, t Target) (v Verdict) {
		defer func() {
			if p := recover(); p != nil {
				v = Unknown("check %s panicked: %v", c.check.Name, p)
				v.Transcript = string(debug.Stack())
			}
		}()
		return c.check.Probe(ctx, t, opts)
	}, nil
}

// decode turns o into the author's options and lets the author's Validate look at them.
func (c *typed[O]) decode(service string, o Options) (opts O, err error) {
	if c.faulty != nil {
		return opts, c.faulty
	}
	if !c.serves(service) {
		return opts, fmt.Errorf("check %s serves %s, not %q", c.check.Name, c.serviceNames(), service)
	}
	if err := c.schema.decode(reflect.ValueOf(&opts).Elem(), o); err != nil || c.check.Validate == nil {
		return opts, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("check %s panicked while validating: %v", c.check.Name, p)
		}
	}()
	return opts, c.check.Validate(service, opts)
}

// serves says whether service is one of the check's; an empty name stands for the first.
func (c *typed[O]) serves(service string) bool {
	for _, s := range c.services {
		if s.Name == service {
			return true
		}
	}
	return service == ""
}

func (c *typed[O]) serviceNames() string {
	names := make([]string, len(c.services))
	for i, s := range c.services {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}
