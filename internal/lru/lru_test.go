package lru

import (
	"slices"
	"testing"
)

func TestWhatWasUsedLastIsKeptUpToItsWeight(t *testing.T) {
	c := New[string](10, func(v int) int64 { return int64(v) })
	for _, x := range []struct {
		key    string
		weight int
	}{{"a", 4}, {"b", 4}} {
		c.Put(x.key, x.weight)
	}
	c.Get("a")
	c.Put("c", 4)  // b was used longest ago
	c.Put("d", 11) // more than all may weigh
	c.Put("a", 5)  // in place of the other a
	c.Remove("none")
	var held []string
	for _, key := range []string{"a", "b", "c", "d"} {
		if _, ok := c.Get(key); ok {
			held = append(held, key)
		}
	}
	if !slices.Equal(held, []string{"a", "c"}) || c.used != 9 || c.Evicted() != 1 {
		t.Errorf("%v, weighing %d, after %d had to go", held, c.used, c.Evicted())
	}
	c.Remove("a")
	if _, ok := c.Get("a"); ok || c.used != 4 || c.order.Len() != 1 || len(c.byKey) != 1 {
		t.Errorf("%d, %d", c.used, c.order.Len())
	}
}
