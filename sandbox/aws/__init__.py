"""The emulated AWS of the sandbox: MiniStack, and what it lacks.

emulator           runs MiniStack; supervised ends it with the sandbox
account            the AWS clients that the sandbox itself uses
sam                builds and deploys the real template
sam_local          writes the environment for `sam local`
template_filter    removes resources that MiniStack rejects
readiness          waits until every function responds
time_scale         the stack's minutes and hours in seconds

MiniStack behaves differently from AWS in these:

routes             of HTTP APIs: created after the deploy
permissions        of topics and queues: corrected after the deploy
event_sources      of functions: corrected after the deploy
async_invocations  of aliases: corrected in MiniStack's process
schedule           EventBridge Scheduler
mailbox            email subscriptions of SNS topics
gateway            public endpoints of API Gateway, with fault injection
"""
