package lru

import (
	"slices"
	"testing"
)

func self(v int) int64 { return int64(v) }

func (c *Cache[K, V]) has(keys ...K) (held []K) {
	for _, key := range keys {
		if c.Has(key) {
			held = append(held, key)
		}
	}
	return held
}

func TestWhatWasUsedLastIsKeptUpToItsWeight(t *testing.T) {
	c := New[string](self, 10)
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
	if held := c.has("a", "b", "c", "d"); !slices.Equal(held, []string{"a", "c"}) || c.used != 9 || c.Evicted(0) != 1 {
		t.Errorf("%v, weighing %d, after %d had to go", held, c.used, c.Evicted(0))
	}
	c.Remove("a")
	if _, ok := c.Get("a"); ok || c.used != 4 || c.shelves[0].order.Len() != 1 || len(c.byKey) != 1 {
		t.Errorf("%d, %d", c.used, c.shelves[0].order.Len())
	}
}

func TestAttack_P6_OneShelfDrivesNothingOutOfAnother(t *testing.T) {
	c := New[int, string](nil, 3, 2)
	for i := range 3 {
		c.PutOn(0, i, "good")
	}
	for i := 10; i < 20; i++ {
		c.PutOn(1, i, "strange")
	}
	if held := c.has(0, 1, 2, 17, 18, 19); !slices.Equal(held, []int{0, 1, 2, 18, 19}) || c.Evicted(0) != 0 || c.Evicted(1) != 8 {
		t.Errorf("%v; %d and %d had to go", held, c.Evicted(0), c.Evicted(1))
	}
	// An entry stands on one shelf.
	c.PutOn(1, 0, "strange")
	c.RemoveFrom(0, 0)
	if v, ok := c.Get(0); !ok || v != "strange" || c.shelves[0].order.Len() != 2 || c.shelves[1].order.Len() != 2 {
		t.Errorf("%q, %d on the first shelf, %d on the second", v, c.shelves[0].order.Len(), c.shelves[1].order.Len())
	}
	c.RemoveFrom(1, 0)
	if c.Has(0) {
		t.Error("it was not removed")
	}
	if v, ok := c.Change(19, func(string) (string, int) { return "good", 0 }); !ok || v != "good" || c.shelves[0].order.Len() != 3 {
		t.Errorf("%q %t, %d on the first shelf", v, ok, c.shelves[0].order.Len())
	}
	if _, ok := c.Change(99, nil); ok {
		t.Error("what is not there was changed")
	}
}

func TestTotalTakesFromTheFirstShelfDownToItsLast(t *testing.T) {
	var gone []string
	c := Make(Options[string, int]{Weight: self, Shelves: []int64{0, 4}, Total: 10, Evicted: func(key string, _ int) { gone = append(gone, key) }})
	c.PutOn(1, "e", 3)
	c.Put("a", 4)
	c.Put("b", 4)        // a goes
	c.PutOn(1, "big", 5) // it finds no room
	c.Put("c", 12)       // b goes, then e; c is the last
	if held := c.has("a", "b", "c", "e", "big"); !slices.Equal(held, []string{"c"}) || !slices.Equal(gone, []string{"a", "big", "b", "e"}) || c.used != 12 {
		t.Errorf("%v, weighing %d; %v had to go", held, c.used, gone)
	}
	whole := Make(Options[int, int]{Total: 2})
	for i := range 4 {
		whole.Put(i, i)
	}
	if held := whole.has(0, 1, 2, 3); !slices.Equal(held, []int{2, 3}) {
		t.Errorf("%v", held)
	}
}
