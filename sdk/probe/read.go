package probe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/ldirectord/ldirectord/sdk"
)

// MaxLine is the longest line, in bytes, that FirstLine reads.
const MaxLine = 4096

// FirstLine connects to t and returns the first line that the server says of itself, without
// its line end. A line that ends with the connection instead is io.ErrUnexpectedEOF, no byte at
// all io.EOF, one longer than MaxLine ErrTooLong.
func FirstLine(ctx context.Context, t sdk.Target) (string, error) {
	c, err := Dial(ctx, t, nil)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return ReadLine(bufio.NewReaderSize(c, MaxLine))
}

// ReadLine reads the next line without its line end, LF or CR LF. Its errors are those of
// FirstLine; a line that does not fit into r's buffer is too long.
func ReadLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return "", fmt.Errorf("line begun with %q: %w", beginning(line), ErrTooLong)
	case err == io.EOF && len(line) > 0:
		return "", fmt.Errorf("line begun with %q: %w", beginning(line), io.ErrUnexpectedEOF)
	case err != nil:
		return "", err
	}
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
}

func beginning(line []byte) []byte { return line[:min(len(line), 40)] }

// ReadAll reads until EOF or until limit bytes are there; cut says that there was more. The
// bytes read before an error are returned with it. EOF is no error.
func ReadAll(r io.Reader, limit int) (all []byte, cut bool, err error) {
	all, err = io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, err
}
