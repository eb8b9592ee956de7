package embed_test

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"bowline/embed"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A member alone, which keeps its data in a directory and is asked through the client library.
func Example() {
	dir, err := os.MkdirTemp("", "embedded-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "error"
	any := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}} // whatever ports are free
	cfg.ListenPeerUrls, cfg.ListenClientUrls = any, any

	e, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		log.Fatal(err)
	case <-time.After(time.Minute):
		log.Fatal("the member did not become ready in time")
	}

	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Clients[0].Addr().String()}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(context.Background(), "greeting", "hello"); err != nil {
		log.Fatal(err)
	}
	r, err := c.Get(context.Background(), "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", r.Kvs[0].Value)
	// Output: hello
}

// A client inside the program, which needs no port.
func ExampleEtcd_Client() {
	dir, err := os.MkdirTemp("", "embedded-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = dir, "error"
	any := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenPeerUrls, cfg.ListenClientUrls = any, any
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	<-e.Server.ReadyNotify()

	c, err := e.Client()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	r, err := c.Put(context.Background(), "k", "v")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("revision", r.Header.Revision)
	// Output: revision 2
}
