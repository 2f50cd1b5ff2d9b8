using Qbb.EndToEnd.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Xunit.Sdk;
using Xunit.v3;

// Every class starts processes of its own: one at a time is quicker, and what is measured is what runs alone. Broker and database serve them all;
// each cluster has its own queues, exchanges and database.
[assembly: Parallelization(Mode = ParallelMode.None)]
[assembly: AssemblyFixture(typeof(RabbitServer))]
[assembly: AssemblyFixture(typeof(PostgresServer))]
[assembly: AssemblyFixture(typeof(DirectResult))]
