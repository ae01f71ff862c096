package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want invocation
		err  string
	}{
		{line: "web.cf start", want: invocation{file: "web.cf", command: "start"}},
		{line: "start", want: invocation{command: "start"}},
		{line: "-d web.cf start", want: invocation{debug: true, file: "web.cf", command: "start"}},
		{line: "--debug -- -odd.cf stop", want: invocation{debug: true, file: "-odd.cf", command: "stop"}},
		{line: "start status", want: invocation{file: "start", command: "status"}},
		{line: "configtest reload", want: invocation{file: "configtest", command: "reload"}},
		{line: "./configtest configtest", want: invocation{file: "./configtest", command: "configtest"}},
		{line: "configtest --dump", want: invocation{command: "configtest", args: []string{"--dump"}}},
		{line: "web.cf configtest --dump --json", want: invocation{file: "web.cf", command: "configtest", args: []string{"--dump", "--json"}}},
		{line: "web.cf status --json", want: invocation{file: "web.cf", command: "status", args: []string{"--json"}}},
		{line: "status --json", want: invocation{command: "status", args: []string{"--json"}}},
		{line: "--dry-run web.cf run", want: invocation{dryRun: true, file: "web.cf", command: "run"}},
		{line: "plugins", want: invocation{command: "plugins"}},
		{line: "web.cf plugins --json", want: invocation{file: "web.cf", command: "plugins", args: []string{"--json"}}},
		{line: "plugins test -v ./mine", want: invocation{command: "plugins", args: []string{"test", "-v", "./mine"}}},
		{line: "plugins status", want: invocation{file: "plugins", command: "status"}},
		{line: "web.cf probe --json 5 10.0.0.1:80", want: invocation{file: "web.cf", command: "probe", args: []string{"--json", "5", "10.0.0.1:80"}}},
		{line: "probe status", want: invocation{file: "probe", command: "status"}},
		{line: "-h", want: invocation{help: true}},
		{line: "-?", want: invocation{help: true}},
		{line: "--help", want: invocation{help: true}},
		{line: "-v", want: invocation{version: true}},
		{line: "--version", want: invocation{version: true}},
		{line: "", err: "usage: "},
		{line: "web.cf", err: "usage: "},
		{line: "web.cf begin", err: `unknown command "begin"`},
		{line: "web.cf start now", err: `start takes no arguments, found "now"`},
		{line: "--loud web.cf start", err: "unknown flag: --loud"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			got, err := parse(strings.Fields(test.line))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got.args, " ") != strings.Join(test.want.args, " ") {
				t.Errorf("got arguments %q, want %q", got.args, test.want.args)
			}
			got.args, test.want.args = nil, nil
			if got.debug != test.want.debug || got.help != test.want.help || got.version != test.want.version ||
				got.dryRun != test.want.dryRun || got.file != test.want.file || got.command != test.want.command {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
