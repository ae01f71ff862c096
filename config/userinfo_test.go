package config

import "testing"

func TestHideUserinfo(t *testing.T) {
	for text, want := range map[string]string{
		"GET http://user:sesame@web/ and https://b@c": "GET http://***@web/ and https://***@c",
		"http://user:pass/word@web/":                  "http://***@web/",
		"http://[2001:db8::1]:80/@ is no secret":      "http://[2001:db8::1]:80/@ is no secret",
		"http://web:80/a@b":                           "http://web:80/a@b",
		"somebody@example.com has no URL":             "somebody@example.com has no URL",
	} {
		if got := HideUserinfo(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
