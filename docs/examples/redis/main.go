// Command ldirectord-check-redis checks Redis servers: that they answer, and that they
// have the role that the virtual service is for. README.md says how to configure it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

type options struct {
	Login  string `option:"login" help:"user of the access control list; unset: the default user"`
	Passwd string `option:"passwd" secret:"true" help:"password for AUTH; unset: no AUTH"`
	Role   role   `option:"role" default:"any" help:"the role that the server must have: master, replica or any"`
}

// role is master, replica or any.
type role string

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *role) UnmarshalText(text []byte) error {
	switch *r = role(text); *r {
	case "master", "replica", "any":
		return nil
	}
	return fmt.Errorf("%q is not master, replica or any", text)
}

// codeRole is the code of servers that work and are the wrong ones.
const codeRole sdk.Code = "l7-role"

func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "redis",
		Version:  "1.0",
		Summary:  "logs in to Redis, and looks at its role and replication",
		Port:     6379,
		Validate: validate,
		Probe:    look,
	}
}

func validate(_ string, o options) error {
	if o.Login != "" && o.Passwd == "" {
		return &sdk.OptionError{Option: "login", Want: "needs passwd as well"}
	}
	return nil
}

// look runs the check once.
func look(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	tr := probe.NewTrace()
	tr.Secret(o.Passwd)
	return tr.Finish(talk(ctx, t, o, tr))
}

func talk(ctx context.Context, t sdk.Target, o options, tr *probe.Trace) sdk.Verdict {
	conn, err := probe.Dial(ctx, t, tr)
	if err != nil {
		return probe.Judge(err)
	}
	defer conn.Close()
	s := &session{conn: conn, answers: bufio.NewReaderSize(conn, maxLine), trace: tr}
	if o.Passwd != "" {
		login := []string{"AUTH", o.Passwd}
		if o.Login != "" {
			login = []string{"AUTH", o.Login, o.Passwd}
		}
		if v := s.expect("OK", login...); v.Status != sdk.StatusUp {
			return v
		}
		tr.Phase("login")
	}
	if v := s.expect("PONG", "PING"); v.Status != sdk.StatusUp || o.Role == "any" {
		return v
	}
	answer, err := s.ask("ROLE")
	if err != nil {
		return refusal(err)
	}
	return judgeRole(answer, o.Role)
}

// judgeRole looks at the answer to ROLE (https://redis.io/commands/role): "master" and more, or
// "slave", the master's address and port, the state of the link, and the offset.
func judgeRole(answer any, want role) sdk.Verdict {
	parts, _ := answer.([]any)
	if len(parts) == 0 {
		return sdk.Down("the answer to ROLE is %v, not a list", answer)
	}
	switch is := parts[0]; {
	case is == "master" && want == "master":
		return sdk.Up()
	case is != "slave" || want != "replica":
		return sdk.DownWith(codeRole, "its role is %v, want %s", strings.ReplaceAll(fmt.Sprint(is), "slave", "replica"), want)
	case len(parts) < 4:
		return sdk.Down("the answer to ROLE has %d parts only", len(parts))
	case parts[3] != "connected":
		return sdk.DownWith(codeRole, "replica whose link to %v:%v is %q, not connected", parts[1], parts[2], parts[3])
	}
	return sdk.Up()
}

func main() { serve.Main(newCheck()) }
