package daemon

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be the daemon that Background starts.
func TestMain(m *testing.M) {
	if os.Getenv(readyVariable) == "" {
		os.Exit(m.Run())
	}
	parent := OpenParent()
	switch os.Args[len(os.Args)-1] {
	case "ready":
		if syscall.Getpgrp() == os.Getpid() {
			parent.Ready()
		}
	case "watched":
		if s := OpenSystemd(nil); s != nil && s.watchdog > 0 {
			parent.Ready()
		}
	case "refuse":
		parent.Failed(errors.New("web.cf:3: no"), 2)
	}
}

func TestBackground(t *testing.T) {
	pid, err := Background([]string{"ready"})
	if err != nil || pid < 1 {
		t.Errorf("got pid %d, %v", pid, err)
	}
	var failed *StartError
	if _, err := Background([]string{"refuse"}); !errors.As(err, &failed) || failed.Code != 2 || failed.Text != "web.cf:3: no" {
		t.Errorf("refused: got %#v", err)
	}
	if _, err := Background([]string{"silent"}); !errors.As(err, &failed) || !strings.Contains(failed.Text, "before it was ready: exit status 0") {
		t.Errorf("ended: got %v", err)
	}
}
