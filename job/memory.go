package job

import "github.com/apache/arrow-go/v18/arrow/memory"

// arrowAllocator is what the reading commands allocate batches from; tests swap it for one that counts.
var arrowAllocator = memory.DefaultAllocator
