//go:build browser

package console

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestALeaseIsRevoked finds it from its key, and revokes it.
func TestALeaseIsRevoked(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	l, err := c.Grant(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "/leased", "v", clientv3.WithLease(l.ID)); err != nil {
		t.Fatal(err)
	}
	p := open(t, "http://"+s.Addr)
	p.visit("#/keys?k=/leased")
	p.click("Edit")
	p.fill("Value", "w")
	p.click("Compare and go on")
	p.click("Write")
	p.misses("Only if its revision is still")
	if r, err := c.Get(t.Context(), "/leased"); err != nil || clientv3.LeaseID(r.Kvs[0].Lease) != l.ID {
		t.Fatalf("an edit has taken the lease: %v, %v", r, err)
	}
	p.until("the new value", `document.querySelector('[role=tabpanel]').textContent === 'w'`)
	p.click(fmt.Sprintf("%x", int64(l.ID)))
	p.sees("Granted for")
	p.sees("/leased")
	p.click("Revoke")
	p.sees("Its keys are deleted: 1")
	p.click("Revoke")
	p.sees("The lease is gone.")
	if r, err := c.Get(t.Context(), "/leased"); err != nil || r.Count != 0 {
		t.Fatalf("its key is there: %v, %v", r, err)
	}
	p.click("All leases")
	p.sees("There are no leases.")
}

// TestColoursAndLanguage switches both by hand; they stay over a reload.
func TestColoursAndLanguage(t *testing.T) {
	p := open(t, "http://"+start(t).Addr)
	background := func() string { return eval[string](p, `getComputedStyle(document.body).backgroundColor`) }
	light := background()
	p.click("Light or dark")
	dark := background()
	p.click("한국어")
	p.sees("클러스터 버전")
	p.visit("#/leases")
	p.sees("리스가 없습니다.")
	if lang := eval[string](p, `document.documentElement.lang`); lang != "ko" || light == dark || background() != dark {
		t.Errorf("language %s, colours %s, %s, %s", lang, light, dark, background())
	}
	p.click("English")
	p.sees("There are no leases.")
}

// TestParts asks parts of the page themselves: names of keys, differences, quantiles.
func TestParts(t *testing.T) {
	p := open(t, "http://"+start(t).Addr)
	for what, expression := range map[string]string{
		"names": `import('./bytes.js').then(({ keyText, parseKey }) => {
			for (let seed = 1, i = 0; i < 3000; i++) {
				const bytes = new Uint8Array(i % 12).map(() => (seed = seed * 48271 % 2147483647) % 5 ? '/a\\x0é'.charCodeAt(seed % 6) & 255 : seed & 255);
				const text = keyText(bytes);
				if (/[\u0000-\u001f]/.test(text) || String(parseKey(text)) !== String(bytes)) return bytes + ' is ' + text + ' is ' + parseKey(text);
			}
			return 'good';
		})`,
		"hexadecimal": `import('./bytes.js').then(({ fromHex, toHex }) => toHex(fromHex('00 ff\n7f')) === '00ff7f' && fromHex('0') === null && fromHex('zz') === null ? 'good' : 'bad')`,
		"differences": `import('./diff.js').then(({ compare }) => {
			for (let seed = 1, i = 0; i < 500; i++) {
				const some = () => Array.from({ length: (seed = seed * 48271 % 2147483647) % 9 }, () => 'abc'[(seed = seed * 48271 % 2147483647) % 3]);
				const a = some(), b = some(), d = compare(a, b);
				const side = (gone) => d.filter(([k]) => k !== gone).map(([, x]) => x).join('');
				if (side('+') !== a.join('') || side('-') !== b.join('')) return a + ' and ' + b + ': ' + JSON.stringify(d);
			}
			return compare(['x', 'same', 'y'], ['same', 'z']).filter(([k]) => k === ' ').length === 1 ? 'good' : 'not the least';
		})`,
		"long differences": `import('./diff.js').then(({ compare }) => {
			const a = Array.from({ length: 50000 }, (_, i) => 'a' + i), b = Array.from({ length: 50000 }, (_, i) => 'b' + i);
			return compare(a, b).length === 100000 ? 'good' : 'bad';
		})`,
		"quantiles": `import('./charts.js').then(({ quantile }) => {
			const now = { bounds: [1, 2, 4], below: [10, 20, 20], count: 20 };
			const near = (x, y) => Math.abs(x - y) < 1e-9;
			return near(quantile(0.5, null, now), 1) && near(quantile(0.75, null, now), 1.5) && quantile(0.5, now, now) === null && near(quantile(0.5, { below: [10, 10, 10], count: 10 }, now), 1.5) &&
				quantile(0.99, null, { bounds: [1], below: [0], count: 5 }) === 1 ? 'good' : 'bad';
		})`,
	} {
		if got := eval[string](p, expression); got != "good" {
			t.Errorf("%s: %s", what, got)
		}
	}
}
