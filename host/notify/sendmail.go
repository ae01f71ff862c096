package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
)

// sendmailPlaces are where the local mail system's program may be.
func sendmailPlaces() []string {
	return []string{"/usr/sbin/sendmail", "/usr/lib/sendmail", "sendmail"}
}

// sendmail gives mail to the local mail system, through the interface that all of them have.
type sendmail struct{ places []string }

// send tries once. The recipients are those of the header: no address can be taken for an option.
func (s sendmail) send(ctx context.Context, text []byte) error {
	program, err := s.find()
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // a program of this machine, with its line ends
	output, err := runProgram(ctx, text, program, "-t", "-i")
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it has succeeded, and something goes on in the background
		return nil
	}
	err = fmt.Errorf("%s: %w: %s", program, err, printable(output, maxText))
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && slices.Contains(forGood(), failed.ExitCode()) {
		err = fmt.Errorf("%w: %w", errFinal, err)
	}
	return err
}

// forGood are the statuses of sysexits.h that say that another try makes nothing better, and may give those a
// second copy who have it: wrong usage, wrong data, an unknown recipient, no permission, a wrong configuration.
func forGood() []int { return []int{64, 65, 67, 77, 78} }

func (s sendmail) find() (string, error) {
	for _, place := range s.places {
		if path, err := exec.LookPath(place); err == nil {
			return path, nil
		}
	}
	return "", errors.Join(errFinal, errors.New("there is no smtp directive, and no sendmail on this machine"))
}
