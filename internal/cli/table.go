package cli

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// Table is a result in rows and columns.
type Table struct {
	// Header names the columns; it is shown in capitals.
	Header []string
	Rows   [][]string
}

// write draws the table with box characters: names centred, cells to the right.
// We draw it ourselves since the layout is fixed by compatibility, down to the
// table without rows, which has no line under its header.
func (t *Table) write(out *bufio.Writer) {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	rule := func(left, cross, right string) {
		out.WriteString(left)
		for i, width := range widths {
			if i > 0 {
				out.WriteString(cross)
			}
			out.WriteString(strings.Repeat("─", width+2))
		}
		out.WriteString(right + "\n")
	}
	line := func(cells []string, pad func(cell string, spare int) string) {
		for i, cell := range cells {
			out.WriteString("│ " + pad(cell, widths[i]-utf8.RuneCountInString(cell)) + " ")
		}
		out.WriteString("│\n")
	}

	rule("┌", "┬", "┐")
	line(t.Header, func(cell string, spare int) string {
		return strings.Repeat(" ", spare/2) + strings.ToUpper(cell) + strings.Repeat(" ", spare-spare/2)
	})
	if len(t.Rows) > 0 {
		rule("├", "┼", "┤")
	}
	for _, row := range t.Rows {
		line(row, func(cell string, spare int) string { return strings.Repeat(" ", spare) + cell })
	}
	rule("└", "┴", "┘")
}
