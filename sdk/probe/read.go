package probe

import (
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
	var buf [MaxLine]byte
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		if i := bytes.IndexByte(buf[n:n+m], '\n'); i >= 0 {
			return string(bytes.TrimSuffix(buf[:n+i], []byte("\r"))), nil
		}
		n += m
		switch {
		case err == io.EOF && n > 0:
			return "", fmt.Errorf("line begun with %q: %w", Escape(string(buf[:min(n, 40)])), io.ErrUnexpectedEOF)
		case err != nil:
			return "", err
		}
	}
	return "", fmt.Errorf("first line: %w", ErrTooLong)
}

// ReadAll reads until EOF or until limit bytes are there; cut says that there was more. The
// bytes read before an error are returned with it. EOF is no error.
func ReadAll(r io.Reader, limit int) (all []byte, cut bool, err error) {
	all, err = io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, err
}
