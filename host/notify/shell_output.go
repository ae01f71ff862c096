package notify

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// runProgram runs a program in the root directory and returns the last line of what it printed. When ctx ends, so
// does the program, with all of its process group.
func runProgram(ctx context.Context, stdin []byte, program string, args ...string) (string, error) {
	cmd, out, err := begin(ctx, stdin, program, args...)
	if err != nil {
		return "", err
	}
	err = cmd.Wait()
	return out.line(), err
}

// begin starts a program as runProgram does. The caller waits for it.
func begin(ctx context.Context, stdin []byte, program string, args ...string) (*exec.Cmd, *output, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	cmd.Stdout, cmd.Stderr = write, write
	cmd.WaitDelay = time.Second // a child in the background may keep its standard input open
	if err := cmd.Start(); err != nil {
		read.Close()
		return nil, nil, err
	}
	return cmd, listen(read), nil
}

// output is what a program prints. It is read until nobody can write to it any more: what a program
// leaves in the background must not be killed by what it says later.
type output struct {
	from *os.File
	done chan struct{} // closed when nobody can

	mu   sync.Mutex // guards tail, and from against being closed while it is handed over
	tail tail
}

func listen(from *os.File) *output {
	o := &output{from: from, done: make(chan struct{})}
	go func() { // ends with the last writer, or with the process
		_, _ = io.Copy(o, from)
		o.mu.Lock()
		defer o.mu.Unlock()
		from.Close()
		close(o.done)
	}()
	return o
}

// Write takes what was read.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tail.Write(p)
}

// lastWords is how long after the end of a program its output is waited for: it is on its way already,
// unless somebody in the background holds the pipe open.
const lastWords = 200 * time.Millisecond

// line returns the last line of a program that has ended.
func (o *output) line() string {
	select {
	case <-o.done:
	case <-time.After(lastWords):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tail.line()
}

// ended tells whether nobody can write any more.
func (o *output) ended() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// handOver has somebody else read on: we end, and who writes into a pipe that nobody reads is killed.
func (o *output) handOver() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended() {
		return
	}
	cat := exec.Command("/bin/cat")
	cat.Dir, cat.Stdin = "/", o.from
	cat.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	_ = cat.Start() // it ends with the last writer; without it they are killed, as ever
}

// tail keeps the last 1,024 bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - 1024; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// line returns the last line that is not empty.
func (t *tail) line() string {
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}
