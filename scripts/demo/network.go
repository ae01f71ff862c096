package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// network is where the demo plays.
type network interface {
	// setUp makes it.
	setUp(ctx context.Context) error
	// inside gives back the command line that runs words on a host.
	inside(host string, words ...string) []string
	// address of a host's web server.
	address(host string) string
	// virtual service, as in the configuration; method of its real servers.
	virtual() (address, method string)
	tearDown()
}

// hosts of the demo, in the order of their addresses.
var hosts = []string{"web1", "web2", "web3", "sorry"}

func number(host string) int {
	for i, h := range hosts {
		if h == host {
			return i + 1
		}
	}
	return 0
}

// namespaces is a network of the demo's own: each server and the client has a
// namespace behind a bridge, and the namespace around us is the director.
type namespaces struct{ made []string }

func (n *namespaces) setUp(ctx context.Context) error {
	lines := []string{
		"ip link set lo up",
		"ip link add demo0 type bridge",
		"ip addr add 10.77.0.254/24 dev demo0",
		"ip link set demo0 up",
		"ip addr add 10.77.1.1/32 dev lo",
		"sysctl -q -w net.ipv4.ip_forward=1",
	}
	for i, host := range append(append([]string(nil), hosts...), "client") {
		n.made = append(n.made, host)
		lines = append(lines,
			"ip netns add demo-"+host,
			fmt.Sprintf("ip link add demo%d type veth peer name eth0 netns demo-%s", i+1, host),
			fmt.Sprintf("ip link set demo%d master demo0 up", i+1),
			"ip -n demo-"+host+" link set lo up",
			fmt.Sprintf("ip -n demo-%s addr add 10.77.0.%d/24 dev eth0", host, i+1),
			"ip -n demo-"+host+" link set eth0 up",
			"ip -n demo-"+host+" route add default via 10.77.0.254",
		)
	}
	// Answers have to come back through the director, also to a client in the same subnet.
	for _, host := range hosts {
		lines = append(lines, "ip -n demo-"+host+" route add 10.77.0.5/32 via 10.77.0.254")
	}
	lines = append(lines, "sysctl -q -w net.ipv4.conf.all.send_redirects=0", "sysctl -q -w net.ipv4.conf.demo0.send_redirects=0")
	for _, line := range lines {
		if out, err := exec.CommandContext(ctx, "/bin/sh", "-c", line).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}

func (n *namespaces) inside(host string, words ...string) []string {
	return append([]string{"ip", "netns", "exec", "demo-" + host}, words...)
}

func (n *namespaces) address(host string) string {
	return fmt.Sprintf("10.77.0.%d:80", number(host))
}

func (n *namespaces) virtual() (string, string) { return "10.77.1.1:80", "masq" }

func (n *namespaces) tearDown() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, host := range n.made {
		_ = exec.CommandContext(ctx, "ip", "netns", "del", "demo-"+host).Run()
	}
	_ = exec.CommandContext(ctx, "ip", "link", "del", "demo0").Run()
	_ = exec.CommandContext(ctx, "ip", "addr", "del", "10.77.1.1/32", "dev", "lo").Run()
}

// loopback needs no privileges: the servers are ports of this machine, and nothing forwards.
type loopback struct{}

func (loopback) setUp(context.Context) error { return nil }

func (loopback) inside(_ string, words ...string) []string { return words }

func (loopback) address(host string) string { return fmt.Sprintf("127.0.0.1:%d", 18080+number(host)) }

func (loopback) virtual() (string, string) { return "127.0.0.1:18080", "masq" }

func (loopback) tearDown() {}

// shown is a command line for the eye.
func shown(words []string) string { return strings.Join(words, " ") }
