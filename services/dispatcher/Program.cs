using Qbb.Dispatcher;
using Qbb.Hosting;

return await ServiceHost.RunAsync(args, "dispatcher", "http://127.0.0.1:8084", builder => builder.AddDispatcher(), hasBus: false);
