package config

import "testing"

func TestWatermarks(t *testing.T) {
	for text, want := range map[string]Watermark{
		"": {}, "0": {}, "1": {Bytes: 1}, "9223372036854775807": {Bytes: 1<<63 - 1}, "1%": {Percent: 1}, "100%": {Percent: 100},
	} {
		var w Watermark
		if err := (watermark{&w}).Set(text); err != nil || w != want {
			t.Errorf("%q: %+v %v", text, w, err)
		}
	}
	for _, text := range []string{"0%", "101%", "%", "-1", "-1%", "1G", "1.5", "9223372036854775808", " 1"} {
		if err := (watermark{new(Watermark)}).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for file, want := range map[string]Watermark{`70`: {Bytes: 70}, `"70%"`: {Percent: 70}} {
		var w Watermark
		if err := (watermark{&w}).fromFile([]byte(file)); err != nil || w != want {
			t.Errorf("%s: %+v %v", file, w, err)
		}
	}
	if _, _, err := Parse([]string{"--audit-log=x", "--audit-log-max-size=0"}, nil); err == nil {
		t.Error("an audit log whose files may have no size")
	}
}
