package digest

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"
)

func addBytes(s *seed, v []byte, hi, lo *uint64) {
	u := xxh3.Hash128Seed(v, s.d)
	add(hi, lo, u.Hi, u.Lo)
}

// varlen hashes values that lie one after the other: data starts at offsets[0].
func varlen[O int32 | int64](s *seed, a arrow.Array, offsets []O, data []byte, hi, lo []uint64) {
	known := s.memo.ready(len(hi))
	for p := presentIn(a); p.next(); {
		if known {
			addTexts(&s.memo, s, offsets[p.from:p.to+1], offsets[0], data, hi[p.from:p.to], lo[p.from:p.to])
			continue
		}
		for i := p.from; i < p.to; i++ {
			addBytes(s, data[offsets[i]-offsets[0]:offsets[i+1]-offsets[0]], &hi[i], &lo[i])
		}
	}
	if known {
		s.memo.judge()
	}
}
