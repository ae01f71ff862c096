package script

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// BenchmarkCall measures one call of a script that says that all is well.
func BenchmarkCall(b *testing.B) {
	file := func(name, text string) string {
		path := filepath.Join(b.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			b.Fatal(err)
		}
		return path
	}
	perl, err := FindPerl()
	if err != nil {
		b.Fatal(err)
	}
	const modules = "use strict; use Socket; use IO::Socket::INET; exit 0;\n"
	external := &externalChecker{launcher: newLauncher()}
	worker := newPerlChecker(perl, PerlOptions{Log: slog.New(slog.DiscardHandler)})
	defer func() {
		worker.interrupt()
		worker.clear()
		worker.launcher.close(nil)
		external.launcher.close(nil)
	}()
	for _, bench := range []struct {
		name    string
		checker sdk.Preparer
		path    string
	}{
		{"external/true", external, "/bin/true"},
		{"external/sh", external, file("check.sh", "#!/bin/sh\nexit 0\n")},
		{"external/perl", external, file("check.pl", "#!"+perl+"\nexit 0;\n")},
		{"external/perl-modules", external, file("check.pl", "#!"+perl+"\n"+modules)},
		{"external-perl/exit", worker, file("check.pl", "exit 0;\n")},
		{"external-perl/modules", worker, file("check.pl", modules)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			probe, err := bench.checker.Prepare("", command(bench.path))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				v := probe(ctx, target())
				cancel()
				if v.Status != sdk.StatusUp {
					b.Fatalf("%+v", v)
				}
			}
		})
	}
}
