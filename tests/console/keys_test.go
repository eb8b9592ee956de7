//go:build browser

package console

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestASessionWithKeys finds a key, changes it while another tab watches it, looks at
// its history, loses a race against somebody else, and deletes it.
func TestASessionWithKeys(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	put(t, c, "/app/config/limits", "{\"a\": 1,\n \"b\": 2}", "/app/config/name", "first line\nsecond line\nthird line", "/app/data/x", "y", "zeta", "1")
	p := open(t, "http://"+s.Addr)
	watch := p.another()
	watch.visit("#/watch?k=/app/&all=1")
	watch.sees("Watching")

	p.click("Keys")
	p.click("/app/")
	p.click("config/")
	p.click("name")
	p.sees("second line")

	p.click("Edit")
	p.fill("Value", "first line\nanother line\nthird line")
	p.click("Compare and go on")
	p.sees("- second line")
	p.sees("+ another line")
	p.click("Write")
	p.misses("Only if its revision is still")
	p.sees("another line")
	watch.sees("/app/config/name")
	watch.sees("another line")
	if r, err := c.Get(t.Context(), "/app/config/name"); err != nil || string(r.Kvs[0].Value) != "first line\nanother line\nthird line" {
		t.Fatalf("it is %v, %v", r, err)
	}

	p.click("History")
	p.sees("This version created the key.")
	p.sees("- second line")
	p.shoot("history")

	p.click("Edit")
	p.fill("Value", "mine")
	p.click("Compare and go on")
	put(t, c, "/app/config/name", "theirs")
	p.click("Write")
	p.sees("Nothing was changed")
	p.until("both values", `document.querySelector('.theirs').textContent === 'theirs' && document.querySelector('.mine').textContent === 'mine'`)
	p.shoot("conflict")
	p.click("Edit again")
	p.fill("Value", "mine, knowing theirs")
	p.click("Compare and go on")
	p.sees("- theirs")
	p.click("Write")
	p.misses("Only if its revision is still")
	p.sees("mine, knowing theirs")
	p.click("Delete")
	p.sees("Delete this key?")
	p.press(kb.Escape)
	p.misses("Delete this key?")
	p.click("Delete")
	p.click("Delete")
	p.sees("There is no such key.")
	watch.sees("deleted")
	watch.shoot("watch")
	if r, err := c.Get(t.Context(), "/app/config/name"); err != nil || r.Count != 0 {
		t.Fatalf("it is %v, %v", r, err)
	}
}

// TestFinding makes a key whose name is no text, and finds keys by parts of their names.
func TestFinding(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	put(t, c, "/a/needle-1", "", "/b/c/NEEDLE-2", "", "/b/hay", "")
	p := open(t, "http://"+s.Addr)
	p.visit("#/keys")
	p.fill("Prefix, or a text to find", "needle")
	p.click("Find text")
	p.sees("2 found, 3 keys looked at (all)")
	p.sees("/b/c/NEEDLE-2")
	p.fill("Prefix, or a text to find", "/b/")
	p.press(kb.Enter)
	p.sees("hay")
	p.misses("needle-1")

	p.click("New key")
	p.fill("Key", `/b/\x00\xff\\`)
	p.fill("Value", "00 01 fe")
	p.click("as hexadecimal digits")
	p.until("the digits of the text", `document.querySelector('dialog textarea').value === '3030203031206665'`)
	p.fill("Value", "0001fe")
	p.click("Compare and go on")
	p.click("Write")
	p.misses("Only if there is no such key yet")
	p.sees("000000  00 01 fe")
	r, err := c.Get(t.Context(), "/b/\x00\xff\\")
	if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "\x00\x01\xfe" {
		t.Fatalf("it is %v, %v", r, err)
	}
}

// TestTheTreeByKeyboard walks through the tree without a mouse.
func TestTheTreeByKeyboard(t *testing.T) {
	s := start(t)
	put(t, dial(t, s, "", ""), "/a/b/one", "value one", "/a/b/two", "value two", "/a/c", "value c", "/z", "")
	p := open(t, "http://"+s.Addr)
	p.visit("#/keys")
	p.sees("/a/")
	// From the content's beginning to the tree there are only the controls of the search.
	eval[bool](p, "document.getElementById('main').focus() === undefined")
	for range 5 {
		p.press(kb.Tab)
	}
	at := func(name string) {
		t.Helper()
		p.until("the focus on "+name, `document.activeElement.getAttribute('role') === 'treeitem' && document.activeElement.querySelector('.key').textContent === `+quote(name))
	}
	at("/a/")
	if !eval[bool](p, `document.activeElement.matches(':focus-visible')`) {
		t.Error("the focus cannot be seen")
	}
	p.press(kb.ArrowRight)
	p.sees("b/")
	p.press(kb.ArrowRight)
	at("b/")
	p.press(kb.Enter)
	p.sees("one")
	p.press(kb.ArrowDown, kb.ArrowDown)
	at("two")
	p.press(kb.Enter)
	p.sees("value two")
	at("two")
	p.press(kb.ArrowLeft)
	at("b/")
	p.press(kb.ArrowLeft)
	p.until("the end of the branch", `document.querySelectorAll('[role=treeitem]').length === 4`)
	p.press(kb.End)
	at("/z")
	p.press(kb.Home)
	at("/a/")
}
