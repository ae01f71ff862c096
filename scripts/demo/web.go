package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"time"
)

// serveWeb answers every request with text until ctx ends.
func serveWeb(ctx context.Context, address, text string) error {
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, text)
		}),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// requests are how many the client sends at a time.
const requests = 12

// fetchMany gets a URL on a new connection each time and prints who answered how often.
func fetchMany(ctx context.Context, url string) error {
	client := &http.Client{
		Timeout:   3 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	counts := map[string]int{}
	for range requests {
		counts[answerOf(ctx, client, url)]++
	}
	var parts []string
	for text, n := range counts {
		parts = append(parts, fmt.Sprintf("%d x %q", n, text))
	}
	sort.Strings(parts)
	fmt.Println(strings.Join(parts, ", "))
	return nil
}

func answerOf(ctx context.Context, client *http.Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return "no answer: " + err.Error()
	}
	return strings.TrimSpace(string(body))
}
