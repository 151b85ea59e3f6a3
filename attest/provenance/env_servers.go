package provenance

// jenkins maps Jenkins with its Git plugin.
//
// Source: Jenkins User Handbook, "Using a Jenkinsfile: using environment
// variables"; Git plugin, "Environment variables".
func jenkins() *system {
	return &system{
		name: "jenkins", title: "Jenkins", marker: "JENKINS_URL",
		buildType: buildTypes + "#jenkins-v1",
		external: []field{
			{"job", "${JOB_NAME}", text, true},
			{"repository", "${GIT_URL}", remote, false},
			{"branch", "${GIT_BRANCH}", text, false},
		},
		internal: []field{
			{"buildNumber", "${BUILD_NUMBER}", count, true},
			{"node", "${NODE_NAME}", text, false},
			{"server", "${JENKINS_URL}", address, true},
		},
		repository: []template{"${GIT_URL}"},
		ref:        []template{"refs/tags/${TAG_NAME}", "refs/heads/${GIT_LOCAL_BRANCH}"},
		commit:     "${GIT_COMMIT}", invocation: "${BUILD_URL}",
	}
}

// buildkite maps Buildkite.
//
// Source: Buildkite Docs, "Environment variables".
func buildkite() *system {
	return &system{
		name: "buildkite", title: "Buildkite", marker: "BUILDKITE", markerValue: "true",
		buildType: buildTypes + "#buildkite-v1",
		external: []field{
			{"pipeline", "${BUILDKITE_ORGANIZATION_SLUG}/${BUILDKITE_PIPELINE_SLUG}", text, true},
			{"repository", "${BUILDKITE_REPO}", remote, true},
			{"branch", "${BUILDKITE_BRANCH}", text, false},
			{"tag", "${BUILDKITE_TAG}", text, false},
			{"source", "${BUILDKITE_SOURCE}", text, false},
			{"step", "${BUILDKITE_STEP_KEY}", text, false},
		},
		internal: []field{
			{"buildNumber", "${BUILDKITE_BUILD_NUMBER}", count, true},
			{"buildId", "${BUILDKITE_BUILD_ID}", text, false},
			{"jobId", "${BUILDKITE_JOB_ID}", text, false},
			{"agentId", "${BUILDKITE_AGENT_ID}", text, false},
		},
		repository: []template{"${BUILDKITE_REPO}"},
		ref:        []template{"refs/tags/${BUILDKITE_TAG}", "refs/heads/${BUILDKITE_BRANCH}"},
		commit:     "${BUILDKITE_COMMIT}", invocation: "${BUILDKITE_BUILD_URL}#${BUILDKITE_JOB_ID}",
	}
}

// circleCI maps CircleCI.
//
// Source: CircleCI Docs, "Project values and variables: built-in environment
// variables".
func circleCI() *system {
	return &system{
		name: "circleci", title: "CircleCI", marker: "CIRCLECI", markerValue: "true",
		buildType: buildTypes + "#circleci-v1",
		external: []field{
			{"project", "${CIRCLE_PROJECT_USERNAME}/${CIRCLE_PROJECT_REPONAME}", text, true},
			{"repository", "${CIRCLE_REPOSITORY_URL}", remote, false},
			{"job", "${CIRCLE_JOB}", text, true},
			{"branch", "${CIRCLE_BRANCH}", text, false},
			{"tag", "${CIRCLE_TAG}", text, false},
		},
		internal: []field{
			{"buildNumber", "${CIRCLE_BUILD_NUM}", count, true},
			{"pipelineId", "${CIRCLE_PIPELINE_ID}", text, false},
			{"workflowId", "${CIRCLE_WORKFLOW_ID}", text, false},
			{"workflowJobId", "${CIRCLE_WORKFLOW_JOB_ID}", text, false},
		},
		repository: []template{"${CIRCLE_REPOSITORY_URL}"},
		ref:        []template{"refs/tags/${CIRCLE_TAG}", "refs/heads/${CIRCLE_BRANCH}"},
		commit:     "${CIRCLE_SHA1}", invocation: "${CIRCLE_BUILD_URL}",
	}
}

// azurePipelines maps Azure Pipelines.
//
// Source: Microsoft Learn, "Use predefined variables" (Azure Pipelines).
func azurePipelines() *system {
	return &system{
		name: "azure-pipelines", title: "Azure Pipelines", marker: "TF_BUILD", markerValue: "True",
		buildType: buildTypes + "#azure-pipelines-v1",
		external: []field{
			{"collection", "${SYSTEM_COLLECTIONURI}", address, true},
			{"project", "${SYSTEM_TEAMPROJECT}", text, true},
			{"definition", "${BUILD_DEFINITIONNAME}", text, true},
			{"repository", "${BUILD_REPOSITORY_URI}", remote, true},
			{"ref", "${BUILD_SOURCEBRANCH}", text, false},
			{"reason", "${BUILD_REASON}", text, false},
		},
		internal: []field{
			{"buildId", "${BUILD_BUILDID}", count, true},
			{"buildNumber", "${BUILD_BUILDNUMBER}", text, false},
			{"definitionId", "${SYSTEM_DEFINITIONID}", text, false},
			{"agent", "${AGENT_NAME}", text, false},
			{"agentOs", "${AGENT_OS}", text, false},
		},
		version:    []field{{"azure-pipelines-agent", "${AGENT_VERSION}", text, false}},
		repository: []template{"${BUILD_REPOSITORY_URI}"},
		ref:        []template{"${BUILD_SOURCEBRANCH}"}, commit: "${BUILD_SOURCEVERSION}",
		invocation: "${SYSTEM_COLLECTIONURI}${SYSTEM_TEAMPROJECT}/_build/results?buildId=${BUILD_BUILDID}",
	}
}
