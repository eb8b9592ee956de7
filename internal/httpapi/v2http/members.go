package v2http

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bowline/internal/cluster"
	"bowline/internal/server"
)

type memberJSON struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

func shown(m *cluster.Member) memberJSON {
	list := func(urls []string) []string {
		if urls == nil {
			return []string{}
		}
		return urls
	}
	return memberJSON{hex(m.ID), m.Name, list(m.PeerURLs), list(m.ClientURLs)}
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }

// members serves /v2/members and what is below it.
func (a *API) members(w http.ResponseWriter, r *http.Request) {
	tail := strings.TrimPrefix(r.URL.Path, "/v2/members")
	if r.Method == http.MethodGet {
		a.identify(w)
		a.listMembers(w, strings.TrimPrefix(tail, "/"))
		return
	}
	if ok, err := a.mayAdminister(r); !ok || err != nil {
		a.unauthorized(w, err)
		return
	}
	a.identify(w)
	if err := a.changeMembers(w, r, strings.TrimPrefix(tail, "/")); err != nil {
		a.refuse(w, memberRefusal(err))
	}
}

func (a *API) listMembers(w http.ResponseWriter, which string) {
	switch which {
	case "":
		list := []memberJSON{}
		members := a.Member.Members().Members()
		for i := range members {
			list = append(list, shown(&members[i]))
		}
		answer(w, http.StatusOK, map[string]any{"members": list})
	case "leader":
		m := a.Member.Members().Member(a.Member.Standing().Leader)
		if m == nil {
			a.refuse(w, refuse(http.StatusServiceUnavailable, "During election"))
			return
		}
		answer(w, http.StatusOK, shown(m))
	default:
		a.refuse(w, refuse(http.StatusNotFound, "Not found"))
	}
}

func (a *API) changeMembers(w http.ResponseWriter, r *http.Request, text string) error {
	if r.Method == http.MethodPost {
		urls, err := readURLs(w, r)
		if err != nil {
			return err
		}
		m, err := a.Member.MemberAdd(r.Context(), urls)
		if err != nil {
			return err
		}
		answer(w, http.StatusCreated, shown(&cluster.Member{ID: m.ID, PeerURLs: m.PeerURLs}))
		return nil
	}
	if text == "" {
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return nil
	}
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return refuse(http.StatusNotFound, "No such member: "+text)
	}
	if r.Method == http.MethodDelete {
		err = a.removeMember(r, id)
	} else {
		var urls []string
		if urls, err = readURLs(w, r); err == nil {
			err = a.Member.MemberUpdate(r.Context(), id, urls)
		}
		if errors.Is(err, server.ErrMemberNotFound) && !a.Member.Members().Removed(id) {
			err = refuse(http.StatusNotFound, "No such member: "+hex(id))
		}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) removeMember(r *http.Request, id uint64) error {
	gone := func() error {
		switch view := a.Member.Members(); {
		case view.Removed(id):
			return refuse(http.StatusGone, "Member permanently removed: "+hex(id))
		case view.Member(id) == nil:
			return refuse(http.StatusNotFound, "No such member: "+hex(id))
		}
		return nil
	}
	if err := gone(); err != nil {
		return err
	}
	err := a.Member.MemberRemove(r.Context(), id)
	if errors.Is(err, server.ErrMemberNotFound) {
		return errors.Join(gone(), err)
	}
	return err
}

// memberRefusal gives an error of a change its status.
func memberRefusal(err error) error {
	switch {
	case errors.Is(err, server.ErrPeerURLExists):
		return refuse(http.StatusConflict, cluster.ErrPeerURLExists.Error())
	case errors.Is(err, server.ErrMemberExists):
		return refuse(http.StatusConflict, cluster.ErrIDExists.Error())
	}
	return err
}

// readURLs reads the peer URLs of a change, sorted.
func readURLs(w http.ResponseWriter, r *http.Request) ([]string, error) {
	kind := r.Header.Get("Content-Type")
	if bare, _, found := strings.Cut(kind, ";"); found {
		kind = strings.ToLower(strings.TrimSpace(bare))
	}
	if kind != contentJSON {
		return nil, refuse(http.StatusUnsupportedMediaType, fmt.Sprintf("Bad Content-Type %s, accept application/json", kind))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, err.Error())
	}
	var change struct {
		PeerURLs []string `json:"peerURLs"`
	}
	if err := json.Unmarshal(body, &change); err != nil {
		return nil, refuse(http.StatusBadRequest, err.Error())
	}
	if len(change.PeerURLs) == 0 {
		return nil, refuse(http.StatusBadRequest, "no valid URLs given")
	}
	var urls []string
	for _, text := range change.PeerURLs {
		u, err := peerURL(strings.TrimSpace(text))
		if err != nil {
			return nil, refuse(http.StatusBadRequest, err.Error())
		}
		urls = append(urls, u)
	}
	slices.Sort(urls)
	return urls, nil
}

// peerURL checks a URL as etcd does.
func peerURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "http", "https":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return "", fmt.Errorf(`URL address does not have the form "host:port": %s`, text)
		}
		if u.Path != "" {
			return "", fmt.Errorf("URL must not contain a path: %s", text)
		}
	case "unix", "unixs":
	default:
		return "", fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", text)
	}
	return u.String(), nil
}

// machines lists the client URLs of all members.
func (a *API) machines(w http.ResponseWriter, _ *http.Request) {
	var urls []string
	for _, m := range a.Member.Members().Members() {
		urls = append(urls, m.ClientURLs...)
	}
	slices.Sort(urls)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.Join(urls, ", ")) // the connection is gone: nobody is left to tell
}
