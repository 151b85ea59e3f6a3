package verify

// groups joins names that stand for the same: from a name to another one of its
// group, until one that leads nowhere, which stands for the group.
type groups map[string]string

// of is the name that stands for a name's group.
func (g groups) of(name string) string {
	for {
		next, joined := g[name]
		if !joined {
			return name
		}
		if further, is := g[next]; is {
			g[name] = further // so that chains stay short, however they were joined
		}
		name = next
	}
}

// join makes one group of those of two names.
func (g groups) join(a, b string) {
	if a, b = g.of(a), g.of(b); a != b {
		g[b] = a
	}
}
