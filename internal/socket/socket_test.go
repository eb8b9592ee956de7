package socket

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestFollow: the same host and port is a file or a place on the network, by the scheme.
func TestFollow(t *testing.T) {
	t.Chdir(t.TempDir())
	answer := func(with string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(with + r.URL.Path)) })
	}
	host := httptest.NewServer(answer("host"))
	defer host.Close()
	file := httptest.NewUnstartedServer(answer("file"))
	file.Listener.Close()
	var err error
	if file.Listener, err = net.Listen("unix", host.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	file.StartTLS()
	defer file.Close()
	plain := httptest.NewUnstartedServer(answer("plain"))
	plain.Listener.Close()
	if plain.Listener, err = net.Listen("unix", "name:1"); err != nil {
		t.Fatal(err)
	}
	plain.Start()
	defer plain.Close()

	trusting := file.Client().Transport.(*http.Transport).TLSClientConfig
	trusting.ServerName = "example.com"
	client := Follow(&http.Transport{DialContext: new(net.Dialer).DialContext, TLSClientConfig: trusting})
	defer client.CloseIdleConnections()
	at := host.Listener.Addr().String()
	for range 2 { // the second over connections that were kept
		for url, want := range map[string]string{
			"http://" + at + "/a": "host/a", "unixs://" + at + "/a": "file/a", "unix://name:1/b": "plain/b",
			"unix://nobody:1/": "", "unix://" + at + "/": "", "ftp://" + at + "/": "",
		} {
			if got := ask(t.Context(), client, url); got != want {
				t.Errorf("%s answered %q, want %q", url, got, want)
			}
		}
	}
}

// ask returns what is answered with status 200.
func ask(ctx context.Context, c *Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Client{Transport: c}).Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body := make([]byte, 64)
	n, _ := resp.Body.Read(body) // of what is short, everything
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body[:n])
}
