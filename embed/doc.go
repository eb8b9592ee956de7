// Package embed runs a member inside a program. It has the shape of etcd's package of that name: a program that embeds
// etcd changes its import.
//
//	cfg := embed.NewConfig()
//	cfg.Dir = "default.etcd"
//	e, err := embed.StartEtcd(cfg)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer e.Close()
//	select {
//	case <-e.Server.ReadyNotify():
//		log.Print("ready")
//	case <-time.After(time.Minute):
//		e.Server.Stop()
//		log.Print("the member did not become ready in time")
//	}
//	log.Fatal(<-e.Err())
//
// A member that fails never ends the program: Err tells.
package embed
