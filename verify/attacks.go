// Package verify, and all that it stands on, is attacked by tests.
//
// # Attacks
//
// The project keeps a catalogue of attacks. Each entry that concerns what is built has
// tests named after it, which assert on the typed reason; a test keeps this list
// complete. "go test ./... -run Attack -v" runs them all.
//
// E, evidence: the attacker can write to the repository:
//
//   - E1: verify.TestAttack_E1_PayloadAboutAnotherDigestIsIgnored
//   - E2: internal/interop.TestAttack_E2_CosignSignatureCopiedToAnotherImage
//   - E2: internal/interop.TestAttack_E2_CosignSignatureCopiedToAnotherRepository
//   - E2: verify.TestAttack_E2_SignatureCopiedFromAnotherImageIsIgnored
//   - E2: verify.TestAttack_E2_SignatureOfAnotherRepositoryIsIgnoredWherePolicyBindsIt
//   - E3: attest.TestAttack_E3_DocumentsThatSayWhatTheyAreAreNothingElse
//   - E3: attest.TestAttack_E3_PredicateOfAnotherTypeIsRefused
//   - E3: internal/interop.TestAttack_E3_CosignAttestationIsNoSignature
//   - E3: registry.TestAttack_E3_UnsignedStatementsAreNoEvidenceAboutTheirImage
//   - E3: verify.TestAttack_E3_AnAttestationAboutAFileIsNoSignature
//   - E3: verify.TestAttack_E3_NothingCountsAsWhatItIsNot
//   - E3: verify.TestAttack_E3_NothingCountsUnderTheTagOfTheOtherKind
//   - E3: verify.TestAttack_E3_WhatASignatureAboutAnImageCoversIsNoFile
//   - E4: registry.TestAttack_E4_AReferrerOfAnotherSubjectIsMalformed
//   - E4: registry.TestAttack_E4_ReferrerOfAnotherSubjectIsNotCopied
//   - E4: verify.TestAttack_E4_EvidenceForAnotherSubjectIsIgnored
//   - E5: attest.TestAttack_E5_AmbiguousJSONIsRefused
//   - E5: internal/strictjson.TestAttack_E5_AmbiguousJSONIsMalformed
//   - E5: registry.TestAttack_E5_OneMalformedReferrerHidesNoOther
//   - E5: registry/proxy.TestAttack_E5_ManifestsThatCannotBeReadInOneWayAreRefused
//   - E5: verify.TestAttack_E5_AmbiguousEvidenceIsMalformed
//   - E5: verify.TestAttack_E5_TwoDigestsInOneEntryOfAnIndexAreMalformed
//   - E6: attest.TestAttack_E6_DepthBombsAreRefused
//   - E6: attest.TestAttack_E6_PredicatesOfTooManyValuesAreRefused
//   - E6: internal/strictjson.TestAttack_E6_DeepWideAndLongJSONIsBounded
//   - E6: internal/strictyaml.TestAttack_E6_LongNamesOfManyValuesAreRefused
//   - E6: verify.TestAttack_E6_DeepAndWideEvidenceIsBoundedAndIgnored
//   - E7: internal/b64.TestAttack_E7_OneTextHasOneMeaning
//   - E7: verify.TestAttack_E7_EveryBase64OfTheSpecificationCountsAndNoOther
//   - E8: internal/dsse.TestAttack_E8_GarbageSignatureDoesNotHideAGoodOne
//   - E8: verify.TestAttack_E8_GarbageHidesNothingWhereTheConfigIsAnAlternative
//   - E8: verify.TestAttack_E8_TheSameBundleTwiceIsOneKey
//   - E8: verify.TestAttack_E8_GarbageHidesNothingAndNoKeyCountsTwice
//   - E9: registry.TestAttack_E9_EvidenceIsBounded
//   - E9: registry.TestAttack_E9_LoopingEndlessAndHugeListsAreBounded
//   - E9: registry.TestAttack_E9_TheByteLimitCountsInOrder
//   - E9: registry.TestAttack_E9_TheManifestsOfEvidenceAreBoundedInAll
//   - E9: verify.TestAttack_E9_BundlesAtHandAreBounded
//   - E9: verify.TestAttack_E9_CertificatesAreLookedAtWithinTheBoundOfChecks
//   - E9: verify.TestAttack_E9_CopiesOfAScanAreJudgedOnce
//   - E9: verify.TestAttack_E9_IdentitiesThatCannotCountUseUpNoChecks
//   - E9: verify.TestAttack_E9_KeysThatCannotCountUseUpNoChecks
//   - E9: verify.TestAttack_E9_LayersOfOtherTypesAreRecordedOnce
//   - E9: verify.TestAttack_E9_OnePieceBeyondItsLimitIsIgnored
//   - E9: verify.TestAttack_E9_SignatureChecksOfOneJudgementAreBounded
//   - E9: verify.TestAttack_E9_TooMuchEvidenceIsDeniedNeverCut
//   - E10: internal/sigkey.TestAttack_E10_TheKeyDecidesTheAlgorithm
//   - E10: internal/sigkey.TestAttack_E10_WeakKeysAreRefused
//   - E10: verify.TestAttack_E10_EvidenceCannotChooseTheKeysAlgorithm
//   - E11: internal/intoto.TestAttack_E11_SubjectsMatchExactly
//   - E11: verify.TestAttack_E11_SubjectsMatchByEveryKnownDigest
//   - E12: attest.TestAttack_E12_ReplaceNeedsToSeeAllEvidence
//   - E12: internal/interop.TestAttack_E12_UnrelatedBundleHidesNoSignatureFromUs
//   - E12: verify.TestAttack_E12_HidingEvidenceAtWorstDenies
//   - E12: verify.TestAttack_E12_NothingIsExcusedWhereEvidenceIsMissing
//   - E12: verify.TestAttack_E12_TheLatestStatementAboutAVulnerabilityCountsInEveryOrder
//   - E12: verify.TestAttack_E12_VEXThatIsTooOldExcusesNothing
//   - E13: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - E13: verify.TestAttack_E13_LabelsThatABaseImageLeavesSayNothing
//   - E13: verify.TestAttack_I7_E13_EveryConditionOfTheConfigIsKept
//   - E14: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - E15: attest.TestAttack_E15_SeveritiesSpeltOtherwiseAreNotTakenLightly
//   - E15: attest.TestAttack_E15_SeveritiesSpeltOtherwiseCountAsCritical
//   - E15: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - E16: attest.TestAttack_E16_BuilderIDsAreTakenAsTheyStand
//   - E16: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - E17: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - E18: registry.TestAttack_E18_InlineContentThatIsNotTheBlobIsNotUsed
//   - E18: registry.TestAttack_E18_PayloadsAndManifestsThatChangeAreIgnored
//   - E18: verify.TestAttack_E18_EvidenceThatChangesIsIgnored
//   - E19: registry.TestAttack_E19_AFallbackTagOfAnythingIsBoundedAndIgnored
//   - E19: registry.TestAttack_E19_AFallbackTagThatIsNoListListsNothing
//   - E19: registry.TestAttack_E19_FallbackTagOfALayoutThatIsNoIndexIsIgnored
//   - E19: registry.TestAttack_E19_RubbishUnderEvidenceTagsIsIgnored
//   - E19: registry.TestAttack_E19_RubbishUnderTheFallbackTagIsIgnored
//   - E20: registry.TestAttack_E20_ForeignLayersAreIgnoredAndNeverFetched
//   - E20: registry.TestAttack_E20_UrlsAreNeverFetched
//   - E20: registry.TestAttack_E20_UrlsOfStatementsAreNeverFetched
//
// I, images and indexes:
//
//   - I1: verify.TestAttack_I1_AmbiguousPlatformsAreDenied
//   - I1: verify.TestAttack_I1_AnImageThatAnIndexListsForAnotherPlatformIsDenied
//   - I1: verify.TestAttack_I1_SubstitutedIndexVouchesForNothing
//   - I2: examples/hallmark.TestAttack_I2_InspectOfNestedAndHugeIndexesIsBounded
//   - I2: registry.TestAttack_I2_IndexEvidenceIsBounded
//   - I2: registry.TestAttack_I2_IndexesAreBounded
//   - I2: sign.TestAttack_I2_AnIndexListingItselfOrNestingDeepIsBounded
//   - I2: verify.TestAttack_I2_NestedIndexesAreBounded
//   - I2: verify.TestAttack_I2_WhatAnIndexListsOverAndOverIsReadOnce
//   - I3: registry/proxy.TestAttack_I3_ChildrenPassOnceAVerifiedIndexWasSeen
//   - I3: verify.TestAttack_I3_AChildAloneIsNotVouchedFor
//   - I3: verify.TestAttack_I3_AnIndexVouchesForNothingInAnotherRepository
//   - I4: internal/oci.TestAttack_I4_AManifestHasOneMeaning
//   - I4: registry.TestAttack_I4_ManifestsOfTwoMeaningsAreRefused
//   - I5: internal/oci.TestAttack_I5_DescriptorsAreExact
//   - I5: registry.TestAttack_I5_AttestationsThatAreNotAsDescribedAreIgnored
//   - I5: registry.TestAttack_I5_ChildThatIsNotAsDescribedIsRefused
//   - I5: registry.TestAttack_I5_EntryThatLiesAboutItsManifestIsRefused
//   - I5: verify.TestAttack_I5_DigestsThatAreNotSHA256AreTypedErrors
//   - I6: registry.TestAttack_I6_AStatementThatContradictsItsPlaceIsIgnored
//   - I6: registry.TestAttack_I6_AnEntryThatClaimsToDescribeSomethingElseIsIgnored
//   - I7: verify.TestAttack_I7_AnImageThatIsListedAsAnAttestationIsJudged
//   - I7: verify.TestAttack_I7_E13_EveryConditionOfTheConfigIsKept
//   - I7: verify.TestAttack_I7_FieldsOfTheConfigInAnotherCaseAreRefused
//   - I7: verify.TestAttack_I7_SecretsInLayersNamesAreFound
//
// R, registry client: the attacker is the registry, or on the network:
//
//   - R1: registry.TestAttack_R1_MisbehavingRegistriesLoseTheirStatementsAlone
//   - R1: registry.TestAttack_R1_SizesAtTheEndOfTheirRangeAreNoCrash
//   - R1: registry.TestAttack_R1_SourceThatSendsOtherBytesIsNotCopied
//   - R1: registry.TestAttack_R1_WrongBlobsEndInAnErrorNotInEOF
//   - R1: registry.TestAttack_R1_WrongBytesAreNeverReturned
//   - R2: registry.TestAttack_R2_WhatWasResolvedIsWhatIsRead
//   - R2: verify.TestAttack_R2_TheDigestJudgedIsTheDigestReturned
//   - R3: registry/proxy.TestAttack_R3_TheTransportDialsNoPrivateAddressForARegistryOfTheInternet
//   - R3: registry.TestAttack_R3_ALocalProxyMakesNoRegistryLocal
//   - R3: registry.TestAttack_R3_APublicRegistryCannotLeadIntoAPrivateNetwork
//   - R3: internal/netguard.TestAttack_R3_AddressesOffTheInternetAreKnown
//   - R3: registry.TestAttack_R3_AnUploadElsewhereCarriesNoCredentials
//   - R3: registry.TestAttack_R3_HostsThatMayBeReadAsAddressesAreLocal
//   - R3: registry.TestAttack_R3_NoForeignHostIsDialledAtAPrivateAddress
//   - R3: registry.TestAttack_R3_RedirectToAnotherHostCarriesNoCredentials
//   - R3: registry.TestAttack_R3_RedirectsAreBoundedAndStayWhereTheyMay
//   - R4: registry.TestAttack_R4_ARealmDoesNotWidenTheScope
//   - R4: registry.TestAttack_R4_AddressesAndTopLevelDomainsAreNoParents
//   - R4: registry.TestAttack_R4_ChallengesOfOtherHostsAreNotTheRegistrys
//   - R4: registry.TestAttack_R4_LoginsGoOnlyToTheRegistrysOwnTokenService
//   - R5: registry.TestAttack_R5_RetriesAreBoundedAndCancelAtOnce
//   - R6: registry.TestAttack_R6_CompressedAndOversizedAnswersAreRefused
//   - R7: registry.TestAttack_R7_CertificatesAreVerified
//   - R7: registry.TestAttack_R7_HTTPSIsNeverLeft
//   - R8: registry.TestAttack_R8_PagesStayInTheirListAndEnd
//   - R9: internal/pattern.TestAttack_R9_ARegistryHasOneNameHoweverItIsSpelt
//   - R9: registry.TestAttack_R9_RepositoryNamesAreCanonicalOrTypedErrors
//   - R9: verify.TestAttack_R9_NoSpellingOfARegistryEscapesItsRule
//   - R10: registry.TestAttack_R10_ErrorTextsOfRegistriesAreSanitised
//   - R10: registry.TestAttack_R10_EveryURLIsRedacted
//   - R11: internal/interop.TestAttack_R11_ConcurrentSignersLoseNothing
//   - R11: registry.TestAttack_R11_AWriterWhoseEntryIsLostIsTold
//   - R11: registry.TestAttack_R11_ConcurrentWritersLoseNothing
//
// T, trust and policy:
//
//   - T1: internal/strictyaml.TestAttack_T1_WhatHasTwoMeaningsIsRefusedWithItsPosition
//   - T1: internal/strictyaml.TestAttack_T1_ZeroesAreRefusedWithTheirPosition
//   - T1: verify.TestAttack_T1_PoliciesThatTrustNobodyAreRefused
//   - T1: verify.TestAttack_T1_SettingsThatSayNothingOrCannotBeMetAreRefused
//   - T1: verify.TestAttack_T1_T2_T3_T4_T7_PoliciesThatCannotMeanWhatTheySayAreRefusedWithTheirPosition
//   - T2: internal/pattern.TestAttack_T2_PatternsMatchWholeSegments
//   - T2: internal/pattern.TestAttack_T2_PatternsOfDockerHubThatMatchNothingAreRefused
//   - T2: internal/pattern.TestAttack_T2_PatternsThatCouldNeverMatchAreRefused
//   - T2: verify.TestAttack_T1_T2_T3_T4_T7_PoliciesThatCannotMeanWhatTheySayAreRefusedWithTheirPosition
//   - T3: internal/pattern.TestAttack_T3_PatternsOfWhichNeitherIsMoreSpecificAreRefused
//   - T3: verify.TestAttack_T1_T2_T3_T4_T7_PoliciesThatCannotMeanWhatTheySayAreRefusedWithTheirPosition
//   - T4: verify.TestAttack_T1_T2_T3_T4_T7_PoliciesThatCannotMeanWhatTheySayAreRefusedWithTheirPosition
//   - T5: verify.TestAttack_T5_DecisionsOfAnEarlierTrustAreNotUsed
//   - T5: verify.TestAttack_T5_KeysCountOnlyInTheirTimeAndNeverOnceRevoked
//   - T5: verify.TestAttack_T5_LaterSignaturesOfARevokedKeyHideNoEarlierOne
//   - T5: verify.TestAttack_T5_OfARevokedKeyOnlyThatStandsWhichWasSeenBefore
//   - T6: verify.TestAttack_T6_APolicyFileIsTakenWholeOrNotAtAll
//   - T6: verify.TestAttack_T6_APolicyWhoseFilesChangeWhileTheyAreReadIsNotTaken
//   - T6: verify.TestAttack_T6_FilesAreDeniedByWhatDeniesImages
//   - T6: verify.TestAttack_T6_WarningsEndWithThePolicy
//   - T7: verify.TestAttack_T1_T2_T3_T4_T7_PoliciesThatCannotMeanWhatTheySayAreRefusedWithTheirPosition
//   - T7: verify.TestAttack_T7_AttestationsCountForTheRoleThatIsAskedFor
//   - T7: verify.TestAttack_T7_VEXCountsOnlyOnceAsManyKeysAsItsRoleNeedsHaveSignedTheSame
//   - T7: verify.TestAttack_T7_WhoeverIsRecognisedInTwoSeparateRolesCountsInNeither
//   - T8: internal/sigkey.TestAttack_T8_OnlyOnePublicKeyIsAPublicKeyFile
//   - T9: verify.TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionOfAttestationsIsKept
//   - T10: attest/steps.TestAttack_T10_ADissentingFunctionaryDeniesNoService
//   - T10: attest/steps.TestAttack_T10_AForeignLayoutIsAttachedWithTheLinks
//   - T10: attest/steps.TestAttack_T10_AHundredThousandLinks
//   - T10: attest/steps.TestAttack_T10_AnotherPayloadUnderTheOwnersSignature
//   - T10: attest/steps.TestAttack_T10_ArtifactsThatNoRuleMatches
//   - T10: attest/steps.TestAttack_T10_ArtifactsWithoutAUsableDigest
//   - T10: attest/steps.TestAttack_T10_ExpiredLayout
//   - T10: attest/steps.TestAttack_T10_GarbageAmongTheLinksDoesNoHarm
//   - T10: attest/steps.TestAttack_T10_GarbageSignaturesBesideAGoodOne
//   - T10: attest/steps.TestAttack_T10_HostileJSONInALink
//   - T10: attest/steps.TestAttack_T10_InspectionRunsNoCommand
//   - T10: attest/steps.TestAttack_T10_LayoutByTooFewOwners
//   - T10: attest/steps.TestAttack_T10_LayoutsThatCannotBeJudged
//   - T10: attest/steps.TestAttack_T10_LinkOfAnotherStep
//   - T10: attest/steps.TestAttack_T10_LinksOfAnotherBuild
//   - T10: attest/steps.TestAttack_T10_LinksThatCountMustAgree
//   - T10: attest/steps.TestAttack_T10_ManySignaturesAreNotAllChecked
//   - T10: attest/steps.TestAttack_T10_MatchBesideItsPrefix
//   - T10: attest/steps.TestAttack_T10_OneKeyMeetsAThresholdOfTwo
//   - T10: attest/steps.TestAttack_T10_OneKeyUnderTwoKeyIDsInTheLayout
//   - T10: attest/steps.TestAttack_T10_OversizedLink
//   - T10: attest/steps.TestAttack_T10_PathTricks
//   - T10: attest/steps.TestAttack_T10_RulesAreEnforced
//   - T10: attest/steps.TestAttack_T10_RulesThatSayNothing
//   - T10: attest/steps.TestAttack_T10_Sublayout
//   - T10: attest/steps.TestAttack_T10_TooManyChoices
//   - T10: attest/steps.TestAttack_T10_UnauthorizedFunctionary
//   - T10: verify.TestAttack_T10_ChecksOfLinksAreBounded
//   - T10: verify.TestAttack_T10_LayoutsAreMetByTheirFunctionariesLinks
//   - T10: verify.TestAttack_T10_LinksThatDoNotCompleteTheLayoutHideNoneThatDoes
//   - T10: verify.TestAttack_T10_LinksThatNoFunctionaryHasSignedTakeNoRoom
//   - T11: verify.TestAttack_T11_ARevokedIdentityCountsUnderNoOther
//   - T11: verify.TestAttack_T11_IdentitiesThatMatchAnybodyOrNobodyAreRefused
//   - T11: verify.TestAttack_T11_OnePersonWhomTwoIdentitiesRecogniseCountsOnce
//   - T12: not built: certificates, transparency logs and timestamps do not count
//
// P, the gate: the attacker is a client, an upstream or a tenant beside:
//
//   - P1: registry/proxy.TestAttack_P1_PathsAreReadInOneWayOnly
//   - P1: registry/proxy.TestAttack_P1_WhatPathsMean
//   - P2: registry/proxy.TestAttack_P2_HEADAndRangesAndConditionsAreJudgedAsGET
//   - P3: registry/proxy.TestAttack_P3_AnImageThatNamesAGoodSubjectIsNoEvidence
//   - P3: registry/proxy.TestAttack_P3_EvidenceThatVouchesForItselfInACircleEndsWithItsSubject
//   - P3: registry/proxy.TestAttack_P3_EvidenceUnderATagIsNoImage
//   - P3: registry/proxy.TestAttack_P3_OnlyBlobsOfManifestsThatPassedInThisRepositoryPass
//   - P3: registry/proxy.TestAttack_P3_ALayerOfADeniedImagePassesForNoEvidence
//   - P3: registry/proxy.TestAttack_P3_EvidenceThatListsAnImagesLayerChangesNothingForTheImage
//   - P4: registry/proxy.TestAttack_P4_BlobsOfADecisionThatHasEndedPassOnlyOnceItIsReachedAnew
//   - P4: registry/proxy.TestAttack_P4_DigestsAreJudgedForTheirRepositoryAndThePolicyOfNow
//   - P5: registry/proxy.TestAttack_P5_WhatIsServedIsWhatWasJudgedWhileTheTagMoves
//   - P6: registry/proxy.TestAttack_P6_AFloodOfUnknownNamesDrivesOutNothingGood
//   - P6: registry/proxy.TestAttack_P6_ManyWhoAskForOneDeniedImageCostOneJudgement
//   - P6: verify.TestAttack_P6_AFloodOfDeniedImagesDrivesNothingGoodOut
//   - P6: verify.TestAttack_P6_CallersShareOneJudgementButNotTheirCancellation
//   - P7: registry/proxy.TestAttack_P7_AnUpstreamsWordAboutALoginHoldsOnlyForAWhile
//   - P7: registry/proxy.TestAttack_P7_ContentThatOneLoginMayReadIsNotGivenToAnother
//   - P8: internal/seal.TestAttack_P8_OnlyWhatWasSealedAboutTheSameIsOpened
//   - P8: registry/proxy.TestAttack_P8_ContentThatChangesBehindItsTimeIsFoundWhereAllIsHashed
//   - P8: registry/proxy.TestAttack_P8_SharedDecisionsAreAuthenticated
//   - P8: registry/proxy.TestAttack_P8_StoredContentThatWasChangedIsNeverServed
//   - P8: verify.TestAttack_P8_DecisionsAboutSomethingElseAreNotUsed
//   - P8: verify.TestAttack_P8_WhatASharedStoreGivesBackIsBelievedOnlyAsItWasPut
//   - P9: registry/proxy.TestAttack_P9_ASoakWithFaultsLetsNothingThrough
//   - P9: registry/proxy.TestAttack_P9_BlobsThatAreNotWhatTheirDigestSaysNeverArriveInFull
//   - P9: registry/proxy.TestAttack_P9_TwoThousandPullsOfOneColdImageAreOneJudgementAndOneDownload
//   - P9: registry/proxy.TestAttack_P9_UpstreamsThatCannotAnswerAreNoDecision
//   - P10: registry/proxy.TestAttack_P10_WithoutTemporaryFilesContentIsVerifiedOnItsWay
//   - P10: registry/proxy.TestAttack_P10_AFullDiskDegradesToPassingThrough
//   - P10: registry/proxy.TestAttack_P10_AStoreThatCannotBeWrittenIsAnErrorAtTheStart
//   - P10: registry/proxy.TestAttack_P10_KillingTheGateWhileItWritesLosesNothingAndLeavesNothingHalfWritten
//   - P10: verify.TestAttack_P10_DecisionsOfAClockThatRanAheadAreNotUsed
//   - P11: registry/proxy.TestAttack_P11_ClientsThatTakeTooMuchAreBounded
//   - P12: registry/proxy.TestAttack_P12_NothingIsWritten
//   - P13: not built: there is no status page
//   - P14: registry/proxy.TestAttack_P14_TransportBreaksOffWhatIsNotItsDigest
//   - P14: registry/proxy.TestAttack_P14_TransportLetsOnlyVerifiedContentIn
//
// S, signing and attesting:
//
//   - S1: examples/hallmark.TestAttack_S1_TheDigestThatIsReportedIsTheOneThatIsSignedWhileTheTagMoves
//   - S2: attest.TestAttack_S2_WhatTheStoreDoesNotKeepIsNoSuccess
//   - S2: registry.TestAttack_S2_PushesThatStoreOtherBytesAreNoticedWhenReadBack
//   - S2: sign.TestAttack_S2_AStoreThatForgetsTheSignatureIsNoticedAndTheTagStays
//   - S3: examples/hallmark.TestAttack_S3_PasswordIsNeverPrintedAndKeysOfOthersAreRefused
//   - S3: examples/hallmark.TestAttack_S3_ValuesNamedWithRedactAreNotRecorded
//   - S3: sign.TestAttack_S3_KeysInTheClearThatOthersCanReadAreRefused
//   - S3: sign.TestAttack_S3_PasswordsReachNoErrorOrLog
//   - S4: sign.TestAttack_S4_HostileKeyFilesCostNothing
//   - S5: attest/provenance.TestAttack_S5_LoginsInURLsAreNotRecorded
//   - S5: attest/provenance.TestAttack_S5_NoSecretOfTheCommandOrItsEnvironmentIsRecorded
//   - S5: attest/provenance.TestAttack_S5_NothingThatTheRepositoryConfiguresIsRun
//   - S5: attest/provenance.TestAttack_S5_OnlyTheAllowListOfVariablesIsRead
//   - S5: attest/provenance.TestAttack_S5_SecretsInBuildKitsProvenanceAreNotCopied
//   - S6: attest/provenance.TestAttack_S6_OddFilesAreRefusedOrLeftOutAndNeverWronglyHashed
//   - S6: internal/hashtree.TestAttack_S6_AFileThatChangesWhileItIsHashedIsNoWrongDigest
//   - S6: internal/hashtree.TestAttack_S6_BoundsAndCancellationEndTheWork
//   - S6: internal/hashtree.TestAttack_S6_LinksAreNotFollowed
//   - S6: internal/hashtree.TestAttack_S6_NamesThatCannotBeWrittenDownAreRefused
//   - S6: internal/hashtree.TestAttack_S6_PipesAndSocketsAreNotWaitedFor
//   - S7: attest/provenance.TestAttack_S7_BuildKitDoesNotDecideTheBuilder
//   - S8: attest.TestAttack_S8_SignaturesAreVerifiedBeforeTheyAreAttached
//   - S8: sign.TestAttack_S8_ASignerThatBlocksIsLeftWhenTheContextEnds
//   - S8: sign.TestAttack_S8_SignaturesAreVerifiedBeforeTheyAreAttached
//
// F, files, layouts, archives:
//
//   - F1: registry.TestAttack_F1_BlobBytesOtherThanName
//   - F1: registry.TestAttack_F1_HardLinkedBlobReadsButIsNotWrittenThrough
//   - F1: registry.TestAttack_F1_HugeIndexIsRefused
//   - F1: registry.TestAttack_F1_NamesInTagsReachNothing
//   - F1: registry.TestAttack_F1_PipesInALayoutAreRefusedAndNotWaitedFor
//   - F1: registry.TestAttack_F1_SymlinkedBlobIsRefused
//   - F1: registry.TestAttack_F1_SymlinkedPartsAreRefused
//   - F1: registry.TestAttack_F1_SymlinkedPrivateDirectoryIsRefused
//   - F2: registry.TestAttack_F2_CopyInterruptedAtEveryStepLeavesOldOrNew
//   - F2: registry.TestAttack_F2_InterruptedCreationIsCompleted
//   - F2: registry.TestAttack_F2_KilledWriterLeavesOldOrNew
//   - F2: registry.TestAttack_F2_LeftoversOfACrashAreIgnoredAndRemovedOnceOld
//   - F3: examples/hallmark.TestAttack_F3_FilesThatAreNoneAreRefused
//   - F3: internal/file.TestAttack_F3_OnlyBoundedRegularFilesAreRead
//   - F3: sign.TestAttack_F3_KeyFilesThatAreNoFilesAreRefused
//   - F4: examples/hallmark.TestAttack_F4_NothingFromOutsideActsOnTheTerminal
package verify
