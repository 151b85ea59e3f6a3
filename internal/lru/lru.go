// Package lru keeps what was used last, within bounds.
//
// A Cache has shelves with bounds of their own. What strangers can fill stands on
// another shelf than what is good, and drives none of that out.
package lru

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// Options bound a Cache.
type Options[K comparable, V any] struct {
	// Weight is what an entry weighs. Nil: 1.
	Weight func(V) int64
	// Shelves are what the entries of each shelf weigh together at most. Zero: the
	// shelf has no bound beside Total. No shelves: one, of Total.
	Shelves []int64
	// Total is what all entries weigh together at most. What is too much goes from
	// the first shelf down to its last entry, then from the others. Zero: the shelves
	// alone bound them.
	Total int64
	// Evicted is told of each entry that had to make room, or found none. It is
	// called within the cache's lock. Nil: nothing is told.
	Evicted func(K, V)
}

// Cache keeps what was used last. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	o Options[K, V]

	mu      sync.Mutex
	byKey   map[K]*list.Element
	shelves []shelf
	used    int64
}

// shelf is a part of a Cache with an order of its own.
type shelf struct {
	most, used int64
	order      *list.List // of *entry, the last used in front
	evicted    *atomic.Int64
}

type entry[K comparable, V any] struct {
	key    K
	v      V
	on     int
	weight int64
}

// New makes a cache with one shelf for each bound. weight is Options.Weight.
func New[K comparable, V any](weight func(V) int64, most ...int64) *Cache[K, V] {
	return Make(Options[K, V]{Weight: weight, Shelves: most})
}

// Make makes a cache.
func Make[K comparable, V any](o Options[K, V]) *Cache[K, V] {
	if o.Weight == nil {
		o.Weight = func(V) int64 { return 1 }
	}
	if len(o.Shelves) == 0 {
		o.Shelves = []int64{0}
	}
	c := &Cache[K, V]{o: o, byKey: make(map[K]*list.Element)}
	for _, most := range o.Shelves {
		c.shelves = append(c.shelves, shelf{most: most, order: list.New(), evicted: new(atomic.Int64)})
	}
	return c
}

// Get returns an entry of any shelf, and notes that it was used.
func (c *Cache[K, V]) Get(key K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return v, false
	}
	held := e.Value.(*entry[K, V])
	c.shelves[held.on].order.MoveToFront(e)
	return held.v, true
}

// Has reports whether there is an entry, without using it.
func (c *Cache[K, V]) Has(key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.byKey[key]
	return ok
}

// Put adds or replaces an entry of the first shelf.
func (c *Cache[K, V]) Put(key K, v V) { c.PutOn(0, key, v) }

// PutOn adds or replaces an entry. It stands on this shelf from then on, and on no
// other. An entry that weighs more than its shelf may is not kept.
func (c *Cache[K, V]) PutOn(on int, key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place(on, key, v)
}

// Change replaces an entry, if there is one, by what to returns: a value and its shelf.
// It notes that the entry was used. to is called within the cache's lock.
func (c *Cache[K, V]) Change(key K, to func(V) (V, int)) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return v, false
	}
	v, on := to(e.Value.(*entry[K, V]).v)
	c.place(on, key, v)
	return v, true
}

// Evicted counts the entries of a shelf that had to make room so far. While it stays
// the same, what was put there and not removed is there.
func (c *Cache[K, V]) Evicted(on int) int64 { return c.shelves[on].evicted.Load() }

// Remove forgets an entry.
func (c *Cache[K, V]) Remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
}

// RemoveFrom forgets an entry if it stands on a shelf.
func (c *Cache[K, V]) RemoveFrom(on int, key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok && e.Value.(*entry[K, V]).on == on {
		c.remove(key)
	}
}

func (c *Cache[K, V]) place(on int, key K, v V) {
	c.remove(key)
	s, weight := &c.shelves[on], c.o.Weight(v)
	if s.most > 0 && weight > s.most {
		c.tell(key, v)
		return
	}
	c.byKey[key] = s.order.PushFront(&entry[K, V]{key, v, on, weight})
	s.used += weight
	c.used += weight
	for s.most > 0 && s.used > s.most {
		c.evict(on)
	}
	for c.o.Total > 0 && c.used > c.o.Total && c.evictAny() {
	}
}

// evictAny evicts for Options.Total, and reports whether there was anything to evict.
func (c *Cache[K, V]) evictAny() bool {
	if c.shelves[0].order.Len() > 1 {
		c.evict(0)
		return true
	}
	for on := 1; on < len(c.shelves); on++ {
		if c.shelves[on].order.Len() > 0 {
			c.evict(on)
			return true
		}
	}
	return false
}

func (c *Cache[K, V]) evict(on int) {
	oldest := c.shelves[on].order.Back().Value.(*entry[K, V])
	c.remove(oldest.key)
	c.shelves[on].evicted.Add(1)
	c.tell(oldest.key, oldest.v)
}

func (c *Cache[K, V]) tell(key K, v V) {
	if c.o.Evicted != nil {
		c.o.Evicted(key, v)
	}
}

func (c *Cache[K, V]) remove(key K) {
	e, ok := c.byKey[key]
	if !ok {
		return
	}
	held := e.Value.(*entry[K, V])
	s := &c.shelves[held.on]
	s.used -= held.weight
	c.used -= held.weight
	s.order.Remove(e)
	delete(c.byKey, key)
}
