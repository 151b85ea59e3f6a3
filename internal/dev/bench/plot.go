package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// plot is cost against size, for several contenders.
type plot struct {
	Title  string  `json:"title"`
	X      string  `json:"x"`
	Y      string  `json:"y"`
	Curves []curve `json:"curves"`
}

type curve struct {
	Who    string       `json:"who"`
	Points [][2]float64 `json:"points"`
}

// add adds a point to a contender's curve.
func (p *plot) add(who string, x, y float64) {
	i := slices.IndexFunc(p.Curves, func(c curve) bool { return c.Who == who })
	if i < 0 {
		i, p.Curves = len(p.Curves), append(p.Curves, curve{Who: who})
	}
	p.Curves[i].Points = append(p.Curves[i].Points, [2]float64{x, y})
}

// The drawing, in pixels.
const (
	plotWidth, plotHeight = 640.0, 400.0
	marginLeft            = 70.0
	marginRight           = 190.0
	marginTop             = 40.0
	marginBottom          = 50.0
)

var plotColours = []string{"#1f6feb", "#d1242f", "#9a6700", "#1a7f37"}

// axis maps a logarithmic range to pixels.
type axis struct{ low, high, from, to float64 }

func axisOf(values []float64, from, to float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	return axis{math.Floor(math.Log10(low)), math.Ceil(math.Log10(high) + 1e-9), from, to}
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/max(a.high-a.low, 1)*(a.to-a.from)
}

// svg draws the plot with logarithmic axes.
func (p plot) svg(w io.Writer) error {
	var xs, ys []float64
	for _, c := range p.Curves {
		for _, point := range c.Points {
			xs, ys = append(xs, point[0]), append(ys, point[1])
		}
	}
	if len(xs) == 0 {
		return fmt.Errorf("nothing to draw in %q", p.Title)
	}
	x := axisOf(xs, marginLeft, plotWidth-marginRight)
	y := axisOf(ys, plotHeight-marginBottom, marginTop)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="20" font-size="14">%s</text>`+"\n", marginLeft, p.Title)
	for e := x.low; e <= x.high; e++ {
		at := x.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="middle">%g</text>`+"\n", at, y.from, y.to, at, y.from+16, math.Pow(10, e))
	}
	for e := y.low; e <= y.high; e++ {
		at := y.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>`+"\n", x.from, at, x.to, x.from-6, at+4, math.Pow(10, e))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", (x.from+x.to)/2, plotHeight-12, p.X)
	fmt.Fprintf(&b, `<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (y.from+y.to)/2, p.Y)
	for i, c := range p.Curves {
		c.draw(&b, x, y, plotColours[i%len(plotColours)])
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (c curve) draw(b *strings.Builder, x, y axis, colour string) {
	var path []string
	var lastX, lastY float64
	for _, p := range c.Points {
		lastX, lastY = x.at(p[0]), y.at(p[1])
		path = append(path, fmt.Sprintf("%.1f,%.1f", lastX, lastY))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, lastX, lastY, colour)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(path, " "), colour)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", lastX+8, lastY+4, colour, c.Who)
}
