package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Client asks a running daemon through its socket.
type Client struct{ http *http.Client }

// Dial returns a client for the socket at path. Nothing is connected yet.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks for the daemon's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "/v1/status", &s)
}

// Reload has the daemon read its configuration again and waits for the result. The error is
// a *Refused when the daemon kept what it had. via names the other instances that have passed the
// reload on, for Via.
func (c *Client) Reload(ctx context.Context, via ...string) error {
	return c.call(ctx, http.MethodPost, "/v1/reload?"+url.Values{"via": via}.Encode(), nil)
}

// maxAnswer bounds what is read of an answer, in bytes: a table of some 100,000 real servers.
const maxAnswer = 256 << 20

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://ldirectord"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		no := &Refused{Code: 1, Text: "daemon answered " + resp.Status}
		_ = body.Decode(no) // the text above serves when there is no better one
		return no
	}
	if into == nil {
		return nil
	}
	if err := body.Decode(into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
