// Every class starts servers and processes of its own: one at a time is quicker, and what is measured is what runs alone.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
