package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// object is an alert as programs get it: one line of JSON.
func object(a Alert) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(a) // strings and numbers: there is nothing that cannot be written
	return b.Bytes()
}

// newPoster makes a client for webhooks. It follows no redirect: what is in an alert is meant for the
// configured place alone.
func newPoster() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post returns how to send alerts to a URL.
func (a *Alerts) post(target string) func([]Alert, int) delivery {
	return func(batch []Alert, _ int) delivery {
		text := object(batch[0])
		return func(ctx context.Context) error { return postOnce(ctx, a.poster, target, text) }
	}
}

func postOnce(ctx context.Context, client *http.Client, target string, text []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: the URL is not one", errFinal) // the error would quote it
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "ldirectord")
	answer, err := client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL
		}
		return err
	}
	answer.Body.Close() // unread: the status says all
	switch code := answer.StatusCode; {
	case code < 300:
		return nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fmt.Errorf("status %d", code)
	default:
		return fmt.Errorf("%w: status %d", errFinal, code)
	}
}

// hostOf is the part of a URL that may be shown: the rest may be a secret.
func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Host
}
