package lua

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// script is one version of a script, compiled. All checks that run it share it.
type script struct {
	proto *lua.FunctionProto
	// late counts the runs that should have ended a second ago and more. While there are any
	// the script is not started again.
	late atomic.Int32
}

// lateAfter is how long a run may take to come back when its time is over.
const lateAfter = time.Second

// inlineName stands before the line numbers in messages of an inline script's run.
const inlineName = "lua"

// maxScripts bounds the versions of scripts that are remembered.
const maxScripts = 1024

// scripts are those compiled, by text and by path.
type scripts struct {
	mu     sync.Mutex
	inline map[string]*script
	files  map[string]*file
}

// text gives the script of an inline text.
func (s *scripts) text(text string) (*script, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.inline[text]; known != nil {
		return known, nil
	}
	proto, err := compile(text, inlineName)
	if err != nil {
		return nil, err
	}
	if s.inline == nil || len(s.inline) >= maxScripts { // those in use are held by who uses them
		s.inline = map[string]*script{}
	}
	s.inline[text] = &script{proto: proto}
	return s.inline[text], nil
}

// file gives the script of a path, which need not exist.
func (s *scripts) file(path string) *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.files[path]; known != nil {
		return known
	}
	if s.files == nil || len(s.files) >= maxScripts {
		s.files = map[string]*file{}
	}
	f := &file{path: path}
	s.files[path] = f
	return f
}

// file is a script in a file, read again when that has changed.
type file struct {
	path string

	mu     sync.Mutex
	seen   version
	script *script // of what was seen
	err    error   // why there is none
}

// version tells one state of a file from another.
type version struct {
	device, inode uint64
	size          int64
	modified      time.Time
}

func versionOf(info os.FileInfo) version {
	v := version{size: info.Size(), modified: info.ModTime()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		v.device, v.inode = uint64(s.Dev), s.Ino
	}
	return v
}

// current gives the script as the file has it now.
func (f *file) current() (*script, error) {
	info, err := os.Stat(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		f.seen = version{}
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", f.path)
	case versionOf(info) == f.seen:
		return f.script, f.err
	}
	f.script, f.err = f.read()
	return f.script, f.err
}

// read compiles the file. Its version is taken before its text, so that a change in between is
// seen the next time. f.mu is held.
func (f *file) read() (*script, error) {
	open, err := os.Open(f.path)
	if err != nil {
		f.seen = version{}
		return nil, err
	}
	defer open.Close()
	info, err := open.Stat()
	if err != nil {
		return nil, err
	}
	f.seen = versionOf(info)
	text, err := io.ReadAll(io.LimitReader(open, maxScript+1))
	if err != nil {
		return nil, err
	}
	proto, err := compile(string(text), f.path)
	if bad, ok := errors.AsType[*syntaxError](err); ok {
		return nil, fmt.Errorf("%s:%d: %s", f.path, bad.line, bad.what)
	}
	return &script{proto: proto}, nil
}

// words splits a command line at blanks; quotes of either kind keep them, and stand for nothing
// else.
func words(line string) []string {
	var out []string
	var word strings.Builder
	var quote rune
	started := false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				out = append(out, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if started {
		out = append(out, word.String())
	}
	return out
}
