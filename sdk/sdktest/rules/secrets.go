package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/ldirectord/ldirectord/sdk"
)

// marker is a secret that cannot be there by accident.
const marker = "Xq7-secret-Zk3"

// keepsSecrets gives each secret option a value that is easy to find, and looks for it in
// everything that the check says afterwards.
func keepsSecrets(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	secret := false
	for _, o := range info.Options {
		if !o.Secret {
			continue
		}
		secret = true
		marked := s.having(o.Name, marker)
		if err := c.Validate(ctx, s.Service.Name, marked); err != nil {
			if strings.Contains(err.Error(), marker) {
				errs = append(errs, fmt.Errorf("the error about option %s quotes its value", o.Name))
			}
			continue // secrets of that form it does not take
		}
		s.Options = marked
	}
	if !secret {
		return nil
	}
	errs = append(errs, unquoted(ctx, c, s), revealing(ctx, c, s))
	if s.Logged != nil && strings.Contains(s.Logged(), marker) {
		errs = append(errs, errors.New("it is in the log"))
	}
	return errors.Join(errs...)
}

// unquoted looks at what the check says of options that are wrong otherwise.
func unquoted(ctx context.Context, c sdk.Checker, s Sample) error {
	o := s.having("no-such-option", "x")
	if err := c.Validate(ctx, s.Service.Name, o); err != nil && strings.Contains(err.Error(), marker) {
		return errors.New("the error about another option quotes it")
	}
	return nil
}

// revealing looks at verdicts about all kinds of servers.
func revealing(ctx context.Context, c sdk.Checker, s Sample) error {
	servers := hostile(s.Service.Network)
	servers = append(servers, behaviour{"refuses", ClosedPort(s.Service.Network)})
	if s.Server != nil {
		servers = append(servers, behaviour{"is healthy", s.Server})
	}
	errs := make([]error, len(servers))
	var all sync.WaitGroup
	for i, one := range servers {
		all.Go(func() {
			errs[i] = s.with(one.server, Localhost(), func(t sdk.Target) error {
				o := maps.Clone(s.Options)
				ctx, cancel := context.WithTimeout(ctx, short)
				defer cancel()
				v, err := endsWithin(short+patience, "its deadline was", short, func() sdk.Verdict { return c.Probe(ctx, t, o) })
				if err != nil {
					return nil // that is another rule's business
				}
				return quoted(v, one.does)
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func quoted(v sdk.Verdict, does string) error {
	parts := map[string]string{"reason": v.Reason, "transcript": v.Transcript, "code": string(v.Code)}
	for _, p := range v.Phases {
		parts["phases"] += p.Name
	}
	for _, part := range []string{"reason", "transcript", "code", "phases"} {
		if strings.Contains(parts[part], marker) {
			return fmt.Errorf("the %s of the verdict about a server that %s holds it", part, does)
		}
	}
	return nil
}
