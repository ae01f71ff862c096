package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// valid makes s fit for protobuf, which refuses to send anything but UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func toTarget(t sdk.Target) *checkv1.Target {
	out := &checkv1.Target{
		Service: t.Service, Address: t.Addr.String(), Network: t.Network, Fwmark: t.FWMark,
	}
	if t.Virtual.IsValid() {
		out.Virtual = t.Virtual.String()
	}
	return out
}

func fromTarget(p *checkv1.Target) (t sdk.Target, err error) {
	t = sdk.Target{Service: p.GetService(), Network: p.GetNetwork(), FWMark: p.GetFwmark()}
	if t.Addr, err = netip.ParseAddrPort(p.GetAddress()); err != nil {
		return t, fmt.Errorf("target address: %w", err)
	}
	if p.GetVirtual() != "" {
		if t.Virtual, err = netip.ParseAddrPort(p.GetVirtual()); err != nil {
			return t, fmt.Errorf("virtual address: %w", err)
		}
	}
	if t.Network == "" {
		return t, errors.New("target without a network")
	}
	return t, nil
}

// toOptions copies: a configuration file may hold bytes that are not UTF-8.
func toOptions(o sdk.Options) map[string]string {
	out := make(map[string]string, len(o))
	for name, value := range o {
		out[valid(name)] = valid(value)
	}
	return out
}

func toVerdict(v sdk.Verdict) *checkv1.Verdict {
	v = Bound(v)
	out := &checkv1.Verdict{Code: string(v.Code), Reason: v.Reason, Transcript: v.Transcript}
	switch v.Status {
	case sdk.StatusUp:
		out.Status = checkv1.Status_STATUS_UP
	case sdk.StatusDown:
		out.Status = checkv1.Status_STATUS_DOWN
	case sdk.StatusUnknown:
		out.Status = checkv1.Status_STATUS_UNKNOWN
	}
	for _, p := range v.Phases {
		out.Phases = append(out.Phases, &checkv1.Phase{Name: valid(p.Name), Took: int64(p.Took)})
	}
	if v.Weight != nil {
		w := uint32(*v.Weight)
		out.Weight = &w
	}
	return out
}

func fromVerdict(p *checkv1.Verdict) sdk.Verdict {
	v := sdk.Verdict{Code: sdk.Code(p.GetCode()), Reason: p.GetReason(), Transcript: p.GetTranscript()}
	switch p.GetStatus() {
	case checkv1.Status_STATUS_UP:
		v.Status = sdk.StatusUp
	case checkv1.Status_STATUS_DOWN:
		v.Status = sdk.StatusDown
	case checkv1.Status_STATUS_UNKNOWN:
	default: // of a later protocol: the zero value, Unknown
	}
	for _, ph := range p.GetPhases() {
		v.Phases = append(v.Phases, sdk.Phase{Name: ph.GetName(), Took: time.Duration(ph.GetTook())})
	}
	if p != nil && p.Weight != nil {
		w := int(p.GetWeight())
		v.Weight = &w
	}
	return Bound(v)
}

func toInfo(i sdk.Info) *checkv1.DescribeResponse {
	out := &checkv1.DescribeResponse{
		Name: valid(i.Name), Version: valid(i.Version), Summary: valid(i.Summary), Ipv6: i.IPv6,
	}
	for _, s := range i.Services {
		out.Services = append(out.Services,
			&checkv1.Service{Name: valid(s.Name), Port: uint32(s.Port), Network: valid(s.Network)})
	}
	for _, o := range i.Options {
		out.Options = append(out.Options, &checkv1.Option{
			Name: valid(o.Name), Type: valid(o.Type), Default: valid(o.Default), Help: valid(o.Help),
			Required: o.Required, Secret: o.Secret,
		})
	}
	return out
}

func fromInfo(p *checkv1.DescribeResponse) (sdk.Info, error) {
	i := sdk.Info{Name: p.GetName(), Version: p.GetVersion(), Summary: p.GetSummary(), IPv6: p.GetIpv6()}
	if i.Name == "" || len(p.GetServices()) == 0 {
		return i, errors.New("its description lacks a name or services")
	}
	for _, s := range p.GetServices() {
		if s.GetPort() > 65535 {
			return i, fmt.Errorf("its service %s has port %d", s.GetName(), s.GetPort())
		}
		network := s.GetNetwork()
		if network == "" {
			network = "tcp"
		}
		i.Services = append(i.Services, sdk.Service{Name: s.GetName(), Port: uint16(s.GetPort()), Network: network})
	}
	for _, o := range p.GetOptions() {
		kind := o.GetType()
		if kind == "" {
			kind = "string"
		}
		i.Options = append(i.Options, sdk.Option{
			Name: o.GetName(), Type: kind, Default: o.GetDefault(), Help: o.GetHelp(),
			Required: o.GetRequired(), Secret: o.GetSecret(),
		})
	}
	return i, nil
}

// toProblems takes joined errors apart; what is no *sdk.OptionError is a problem of no
// single option.
func toProblems(err error) []*checkv1.Problem {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*checkv1.Problem
		for _, e := range joined.Unwrap() {
			all = append(all, toProblems(e)...)
		}
		return all
	}
	var oe *sdk.OptionError
	if !errors.As(err, &oe) {
		return []*checkv1.Problem{{Want: clip(err.Error(), MaxReason)}}
	}
	return []*checkv1.Problem{{Option: valid(oe.Option), Offset: uint32(max(oe.Offset, 0)), Want: clip(oe.Want, MaxReason)}}
}

func fromProblems(all []*checkv1.Problem) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, &sdk.OptionError{
			Option: p.GetOption(), Offset: int(p.GetOffset()), Want: clip(p.GetWant(), MaxReason),
		})
	}
	return errors.Join(errs...)
}
